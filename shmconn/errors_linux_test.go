package shmconn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shmconn/shmconn/shmconn"
)

// duplex is what *net.UnixConn and *shmconn.Conn have in common.
type duplex interface {
	net.Conn
	CloseRead() error
	CloseWrite() error
}

// describe tells an error by its types and fields.
func describe(err error) string {
	switch e := err.(type) {
	case nil:
		return "nil"
	case *net.OpError:
		addr := func(a net.Addr) string {
			if a == nil {
				return "nil"
			}
			return fmt.Sprintf("%T(%s %s)", a, a.Network(), a)
		}
		return fmt.Sprintf("OpError{%s %s %s %s timeout=%v temporary=%v %s}",
			e.Op, e.Net, addr(e.Source), addr(e.Addr), e.Timeout(), e.Temporary(), describe(e.Err))
	case *os.SyscallError:
		return fmt.Sprintf("SyscallError{%s %s}", e.Syscall, describe(e.Err))
	case syscall.Errno:
		return fmt.Sprintf("Errno(%d)", e)
	}
	for _, sentinel := range []error{io.EOF, net.ErrClosed, os.ErrDeadlineExceeded} {
		if err == sentinel {
			return fmt.Sprintf("exactly %v", err)
		}
		if errors.Is(err, sentinel) {
			return fmt.Sprintf("wraps %v", sentinel)
		}
	}
	return fmt.Sprintf("%T %v", err, err)
}

// read and write describe what one call returns.
func read(c net.Conn, n int) string {
	k, err := c.Read(make([]byte, n))
	return fmt.Sprintf("read %d bytes, %s", k, describe(err))
}

func write(c net.Conn, n int) string {
	k, err := c.Write(make([]byte, n))
	return fmt.Sprintf("wrote %d bytes, %s", k, describe(err))
}

// blocked describes the first call that fails of those that f makes on c, of
// which one is under way, or will be soon, when then is called.
func blocked(c net.Conn, call func(net.Conn, int) string, then func()) string {
	result := make(chan string)
	go func() {
		for {
			if s := call(c, 1<<10); !strings.HasSuffix(s, "nil") {
				// How much fits is the transport's business.
				_, s, _ = strings.Cut(s, ", ")
				result <- s
				return
			}
		}
	}()
	then()
	return <-result
}

// awaitEnd returns when c has noticed that its peer is gone, which takes no
// time with a socket.
func awaitEnd(c net.Conn) { c.Read(make([]byte, 1)) }

// situations are compared between a unix socket and shared memory. Each
// returns a description of what happens to c, whose peer is p.
var situations = []struct {
	name string
	run  func(c, p duplex) string
	want string // part of the description
}{
	{"read deadline", func(c, p duplex) string {
		c.SetReadDeadline(time.Now().Add(time.Millisecond))
		return read(c, 10)
	}, "timeout=true temporary=true"},
	{"read deadline in the past, data there", func(c, p duplex) string {
		write(p, 10)
		c.SetReadDeadline(time.Now().Add(-time.Hour))
		first := read(c, 10)
		c.SetReadDeadline(time.Time{})
		return first + "; then " + read(c, 10)
	}, "then read 10 bytes, nil"},
	{"deadline set while blocked", func(c, p duplex) string {
		return blocked(c, read, func() { c.SetDeadline(time.Now().Add(time.Millisecond)) })
	}, "i/o timeout"},
	{"write deadline", func(c, p duplex) string {
		c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		return blocked(c, write, func() {})
	}, "OpError{write"},
	{"write deadline in the past, space there", func(c, p duplex) string {
		c.SetWriteDeadline(time.Now().Add(-time.Hour))
		first := write(c, 10)
		c.SetWriteDeadline(time.Time{})
		return first + "; then " + write(c, 10)
	}, "then wrote 10 bytes, nil"},
	{"read after Close", func(c, p duplex) string { c.Close(); return read(c, 10) }, "closed network"},
	{"write after Close", func(c, p duplex) string { c.Close(); return write(c, 10) }, "closed network"},
	{"read after Close, deadline passed", func(c, p duplex) string {
		c.SetDeadline(time.Unix(1, 0))
		c.Close()
		return read(c, 10)
	}, "closed network"},
	{"read blocked at Close", func(c, p duplex) string {
		return blocked(c, read, func() { c.Close() })
	}, "closed network"},
	{"write blocked at Close", func(c, p duplex) string {
		return blocked(c, write, func() {
			c.SetWriteDeadline(time.Time{})
			c.Close()
		})
	}, "closed network"},
	{"second Close", func(c, p duplex) string { c.Close(); return describe(c.Close()) }, "OpError{close"},
	{"CloseRead after Close", func(c, p duplex) string { c.Close(); return describe(c.CloseRead()) }, "OpError{close"},
	{"CloseWrite after Close", func(c, p duplex) string { c.Close(); return describe(c.CloseWrite()) }, "OpError{close"},
	{"SetDeadline after Close", func(c, p duplex) string { c.Close(); return describe(c.SetDeadline(time.Now())) }, "OpError{set"},
	{"SetReadDeadline after Close", func(c, p duplex) string { c.Close(); return describe(c.SetReadDeadline(time.Time{})) }, "OpError{set"},
	{"SetWriteDeadline after Close", func(c, p duplex) string { c.Close(); return describe(c.SetWriteDeadline(time.Time{})) }, "OpError{set"},
	{"CloseRead twice", func(c, p duplex) string { return describe(c.CloseRead()) + describe(c.CloseRead()) }, "nilnil"},
	{"CloseWrite twice", func(c, p duplex) string { return describe(c.CloseWrite()) + describe(c.CloseWrite()) }, "nilnil"},
	{"half-close after the peer's Close", func(c, p duplex) string {
		p.Close()
		awaitEnd(c)
		return describe(c.CloseRead()) + describe(c.CloseWrite())
	}, "nilnil"},
	{"deadlines after the peer's Close", func(c, p duplex) string {
		p.Close()
		awaitEnd(c)
		err := c.SetDeadline(time.Unix(1, 0))
		return describe(err) + read(c, 10) + write(c, 10)
	}, "i/o timeout"},
	{"peer closed", func(c, p duplex) string { p.Close(); return read(c, 10) }, "exactly EOF"},
	{"peer closed, read again", func(c, p duplex) string { p.Close(); awaitEnd(c); return read(c, 10) }, "exactly EOF"},
	{"peer closed while blocked", func(c, p duplex) string {
		return blocked(c, read, func() { p.Close() })
	}, "exactly EOF"},
	{"peer half-closed", func(c, p duplex) string { write(p, 5); p.CloseWrite(); return read(c, 10) + read(c, 10) }, "exactly EOF"},
	{"write after the peer's half-close", func(c, p duplex) string { p.CloseWrite(); awaitEnd(c); return write(c, 10) }, "10 bytes, nil"},
	{"read after CloseRead", func(c, p duplex) string { c.CloseRead(); return read(c, 10) }, "exactly EOF"},
	{"read blocked at CloseRead", func(c, p duplex) string {
		return blocked(c, read, func() { c.CloseRead() })
	}, "exactly EOF"},
	{"data before CloseRead", func(c, p duplex) string { write(p, 5); c.CloseRead(); return read(c, 10) + read(c, 10) }, "5 bytes"},
	{"write after CloseWrite", func(c, p duplex) string { c.CloseWrite(); return write(c, 10) }, "Errno(32)"},
	{"write after the peer's Close", func(c, p duplex) string { p.Close(); awaitEnd(c); return write(c, 10) }, "SyscallError{write Errno(32)}"},
	{"write after the peer's CloseRead", func(c, p duplex) string { p.CloseRead(); return write(c, 10) }, "Errno(32)"},
	{"empty read", func(c, p duplex) string { return read(c, 0) }, "0 bytes, nil"},
	{"empty read, peer closed", func(c, p duplex) string { p.Close(); return read(c, 0) }, "0 bytes, nil"},
	{"empty read, deadline passed", func(c, p duplex) string { c.SetDeadline(time.Unix(1, 0)); return read(c, 0) }, "0 bytes, nil"},
	{"empty read after Close", func(c, p duplex) string { c.Close(); return read(c, 0) }, "closed network"},
	{"empty write", func(c, p duplex) string { return write(c, 0) }, "0 bytes, nil"},
	{"empty write, deadline passed", func(c, p duplex) string { c.SetDeadline(time.Unix(1, 0)); return write(c, 0) }, "i/o timeout"},
	{"empty write after Close", func(c, p duplex) string { c.Close(); return write(c, 0) }, "closed network"},
	{"empty write, peer closed", func(c, p duplex) string { p.Close(); awaitEnd(c); return write(c, 0) }, "Errno(32)"},
	{"empty write after CloseWrite", func(c, p duplex) string { c.CloseWrite(); return write(c, 0) }, "Errno(32)"},
	{"addresses", func(c, p duplex) string {
		return fmt.Sprintf("%#v %#v", c.LocalAddr().String()+c.LocalAddr().Network(), c.RemoteAddr().String()+c.RemoteAddr().Network())
	}, `"@unix"`},
	{"addresses after Close", func(c, p duplex) string {
		c.Close()
		return fmt.Sprint(c.LocalAddr(), c.RemoteAddr())
	}, "@"},
}

// TestErrorsLikeUnixConn compares every situation, seen from either end, with
// that of a *net.UnixConn on the same path, field by field.
func TestErrorsLikeUnixConn(t *testing.T) {
	noLeaks(t)
	for _, situation := range situations {
		for _, side := range []string{"client", "server"} {
			t.Run(situation.name+", "+side, func(t *testing.T) {
				watchdog(t, patience)
				path := socketPath(t)
				c, p := duplex(nil), duplex(nil)
				uc, us := unixPair(t, path)
				if c, p = uc, us; side == "server" {
					c, p = us, uc
				}
				want := situation.run(c, p)

				l, err := (&shmconn.ListenConfig{RingSize: 4096}).Listen(context.Background(), "shm", path)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				sc := shared(t, dial(t, "shm", path))
				ss := shared(t, accept(t, l))
				if c, p = sc, ss; side == "server" {
					c, p = ss, sc
				}
				got := situation.run(c, p)
				if got != want {
					t.Errorf("shared memory: %s\nunix socket:   %s", got, want)
				}
				if !strings.Contains(got, situation.want) {
					t.Errorf("%s\nwant it to say %s", got, situation.want)
				}
			})
		}
	}
}

// TestBlockedWriteEnds is where a unix socket is no model: there a writer that
// waits for space sleeps on when either end shuts down its direction, and at
// the peer's Close gets EPIPE or ECONNRESET as it happens.
func TestBlockedWriteEnds(t *testing.T) {
	for name, end := range map[string]func(c, p *shmconn.Conn) error{
		"CloseWrite":           func(c, _ *shmconn.Conn) error { return c.CloseWrite() },
		"the peer's CloseRead": func(_, p *shmconn.Conn) error { return p.CloseRead() },
		"the peer's Close":     func(_, p *shmconn.Conn) error { return p.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			watchdog(t, patience)
			c, p := pair(t, 4096)
			result := make(chan error)
			go func() {
				n, err := c.Write(make([]byte, 10_000))
				if n != 4096 {
					t.Errorf("wrote %d bytes, want the ring's 4096", n)
				}
				result <- err
			}()
			eventually(t, "writer asleep", func() bool { return c.Stats().WriteParks > 0 })
			if err := end(c, p); err != nil {
				t.Error(err)
			}
			if err := <-result; !strings.Contains(describe(err), "OpError{write") || !errors.Is(err, syscall.EPIPE) {
				t.Errorf("blocked write: %v, want EPIPE", err)
			}
		})
	}
}

// childVictim connects to args[0], sends what it reads, and waits to be killed.
func childVictim(args []string) error {
	c, err := shmconn.Dial("shm", args[0])
	if err != nil {
		return err
	}
	_, err = io.Copy(c, os.Stdin)
	return err
}

// TestKilledPeer promises more than a socket: a death can be told from a
// Close, after all that was sent.
func TestKilledPeer(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	for _, pending := range []int{0, 1, 3000} {
		l, path := listen(t, "shm", shmconn.ListenConfig{RingSize: 4096})
		victim := startChild(t, "victim", path)
		c := accept(t, l)
		fmt.Fprint(victim.in, strings.Repeat("x", 1000+pending))
		if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		if pending > 0 {
			// The rest is there when its last byte is, whenever that will be.
			peeked := make([]byte, pending)
			if _, err := io.ReadFull(c, peeked[:pending-1]); err != nil {
				t.Fatal(err)
			}
		}
		victim.Process.Kill()
		got, err := io.ReadAll(c)
		if len(got) > 1 || pending == 0 && len(got) > 0 {
			t.Errorf("read %d bytes after the death", len(got))
		}
		want := func(op string, errno int) string {
			return fmt.Sprintf("OpError{%s unix *net.UnixAddr(unix %s) *net.UnixAddr(unix %s) timeout=false temporary=false SyscallError{%s Errno(%d)}}",
				op, c.LocalAddr(), c.RemoteAddr(), op, errno)
		}
		if d := describe(err); d != want("read", 104) {
			t.Errorf("read error:\n%s, want\n%s", d, want("read", 104))
		}
		if _, err := c.Write(make([]byte, 10)); describe(err) != want("write", 32) {
			t.Errorf("write error:\n%s, want\n%s", describe(err), want("write", 32))
		}
	}
}

// TestCopyErrors checks ReadFrom and WriteTo: errors of the connection are of
// package net's form, those of the other party come as they are.
func TestCopyErrors(t *testing.T) {
	errOther := errors.New("other party's")
	for name, test := range map[string]struct {
		run  func(c, p *shmconn.Conn) (int64, error)
		n    int64
		want string
	}{
		"WriteTo, end": {func(c, p *shmconn.Conn) (int64, error) {
			p.Write([]byte("abc"))
			p.Close()
			return c.WriteTo(io.Discard)
		}, 3, "nil"},
		"WriteTo, closed":   {func(c, p *shmconn.Conn) (int64, error) { c.Close(); return c.WriteTo(io.Discard) }, 0, "OpError{read"},
		"WriteTo, deadline": {func(c, p *shmconn.Conn) (int64, error) { c.SetDeadline(time.Unix(1, 0)); return c.WriteTo(io.Discard) }, 0, "timeout=true"},
		"WriteTo, other": {func(c, p *shmconn.Conn) (int64, error) {
			p.Write([]byte("abc"))
			return c.WriteTo(writerFunc(func(b []byte) (int, error) { return 2, errOther }))
		}, 2, "*errors.errorString other"},
		"WriteTo, short": {func(c, p *shmconn.Conn) (int64, error) {
			p.Write([]byte("abc"))
			return c.WriteTo(writerFunc(func(b []byte) (int, error) { return 2, nil }))
		}, 2, "short write"},
		"ReadFrom, end":    {func(c, p *shmconn.Conn) (int64, error) { return c.ReadFrom(strings.NewReader("abc")) }, 3, "nil"},
		"ReadFrom, closed": {func(c, p *shmconn.Conn) (int64, error) { c.Close(); return c.ReadFrom(strings.NewReader("abc")) }, 0, "OpError{write"},
		"ReadFrom, peer gone": {func(c, p *shmconn.Conn) (int64, error) {
			p.CloseRead()
			return c.ReadFrom(strings.NewReader("abc"))
		}, 0, "Errno(32)"},
		"ReadFrom, other": {func(c, p *shmconn.Conn) (int64, error) {
			return c.ReadFrom(io.MultiReader(strings.NewReader("abc"), readerFunc(func([]byte) (int, error) { return 0, errOther })))
		}, 3, "*errors.errorString other"},
		"ReadFrom a directory": {func(c, p *shmconn.Conn) (int64, error) {
			f, err := os.Open("/")
			if err != nil {
				return 0, err
			}
			defer f.Close()
			return c.ReadFrom(f)
		}, 0, "*fs.PathError"},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			watchdog(t, patience)
			c, p := pair(t, 4096)
			n, err := test.run(c, p)
			if d := describe(err); n != test.n || !strings.Contains(d, test.want) {
				t.Errorf("%d bytes, %s; want %d, %s", n, d, test.n, test.want)
			}
		})
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// TestPeerCredentials are this process's own, and outlive Close.
func TestPeerCredentials(t *testing.T) {
	noLeaks(t)
	c, s := pair(t, 4096)
	want := shmconn.Credentials{PID: int32(os.Getpid()), UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	for _, end := range []*shmconn.Conn{c, s} {
		end.Close()
		if got := end.PeerCredentials(); got != want {
			t.Errorf("credentials are %+v, want %+v", got, want)
		}
	}
}
