package shmconn_test

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/fdpass"
	"github.com/shmconn/shmconn/internal/wire"
	"github.com/shmconn/shmconn/shmconn"
)

// lingering returns a descriptor whose last close blocks for the given time: a
// TCP socket with unsent data and SO_LINGER.
func lingering(t testing.TB, d time.Duration) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	for err == nil {
		_, err = c.Write(make([]byte, 1<<20))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	fd := -1
	if err := fdpass.Borrow(func(fds []int) (err error) {
		fd, err = unix.FcntlInt(uintptr(fds[0]), unix.F_DUPFD_CLOEXEC, 0)
		return errors.Join(err, unix.SetsockoptLinger(fds[0], unix.SOL_SOCKET, unix.SO_LINGER,
			&unix.Linger{Onoff: 1, Linger: int32(d / time.Second)}))
	}, c.(*net.TCPConn)); err != nil {
		t.Fatal(err)
	}
	return fd
}

// give sends frame with a descriptor that lingers, of which sock then has the
// only reference.
func give(t testing.TB, sock *net.UnixConn, frame []byte, d time.Duration) {
	t.Helper()
	fd := lingering(t, d)
	err := fdpass.Send(sock, frame, fd)
	// While the message is on its way this is not the last reference.
	unix.Close(fd)
	if err != nil {
		t.Fatal(err)
	}
}

// prompt fails the test if f takes long.
func prompt(t testing.TB, what string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("%s was held up for %v", what, took)
	}
}

// Clients that send the server descriptors whose release blocks: neither
// handshakes nor threads pile up behind them, and they are told from clients
// that are merely slow.
func TestLingeringClients(t *testing.T) {
	t.Run("no files", func(t *testing.T) { lingeringClients(t, false) })
	t.Run("files", func(t *testing.T) { lingeringClients(t, true) })
}

func lingeringClients(t *testing.T, files bool) {
	noLeaks(t)
	watchdog(t, 2*patience)
	inner, path := rawListen(t)
	var socks []*net.UnixConn
	for i := range 12 {
		sock := rawDial(t, path)
		hello := frame(wire.Hello, wire.OK, 0, 0)
		switch i % 3 {
		case 0:
			give(t, sock, hello, time.Hour)
		case 1:
			send(t, sock, hello[:5])
			give(t, sock, hello[5:], time.Hour)
		case 2: // out of band
			send(t, sock, hello[:5])
			fd := lingering(t, time.Hour)
			err := fdpass.Borrow(func(fds []int) error {
				return unix.Sendmsg(fds[0], hello[5:6], unix.UnixRights(fd), nil, unix.MSG_OOB)
			}, sock)
			unix.Close(fd)
			if err != nil {
				t.Skipf("the kernel has no out-of-band data on unix sockets: build it with CONFIG_AF_UNIX_OOB: %v", err)
			}
		}
		socks = append(socks, sock)
	}
	failures := make(chan error, len(socks))
	l := shmconn.NewListener(inner, &shmconn.ListenConfig{
		RingSize:     4096,
		ReceiveFiles: files,
		MaxPending:   4, // fewer than there are hostile ones
		OnError:      func(_ net.Conn, err error) { failures <- err },
	})
	serveEcho(t, l)
	prompt(t, "an honest client", func() {
		if err := exchange(dial(t, "shm", path), "hello, server"); err != nil {
			t.Error(err)
		}
	})
	for range socks {
		select {
		case err := <-failures:
			if err == nil {
				t.Error("no error")
			}
		case <-time.After(patience):
			t.Fatal("a handshake is stuck")
		}
	}
}

// What a peer has sent before it could be refused does not hold up the Close of
// a connection, nor the close after it.
func TestCloseLaden(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	for _, d := range []time.Duration{0, time.Hour} {
		near, far := unixPair(t, socketPath(t))
		if d > 0 {
			give(t, far, []byte("x"), d)
		}
		prompt(t, "close", func() {
			if err := shmconn.CloseSocket(near); err != nil {
				t.Error(err)
			}
			if err := near.Close(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("close again: %v", err)
			}
		})
	}
}

// Nor does it hold up those who are using the socket at that moment, of whom the
// last closes it.
func TestCloseLadenInUse(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	near, far := unixPair(t, socketPath(t))
	give(t, far, []byte("x"), time.Hour)
	raw, err := near.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	using, closed, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(left)
		raw.Control(func(uintptr) {
			close(using)
			<-closed
		})
	}()
	<-using
	prompt(t, "close", func() {
		if err := shmconn.CloseSocket(near); err != nil {
			t.Error(err)
		}
	})
	close(closed)
	prompt(t, "a call that uses the socket", func() { <-left })
}

// Servers that send clients such descriptors, wherever in the handshake: neither
// Dial is held up, nor do goroutines and threads pile up behind it.
func TestLingeringServers(t *testing.T) {
	several := func(t testing.TB, sock *net.UnixConn, frame []byte, n int) {
		var fds []int
		for range n {
			fds = append(fds, lingering(t, time.Hour))
		}
		err := fdpass.Send(sock, frame, fds...)
		// If the client has dropped them already, these are the last references.
		shmconn.Unblocked(func() {
			for _, fd := range fds {
				unix.Close(fd)
			}
		})
		if err != nil {
			t.Error(err)
		}
	}
	greeting, memory := frame(wire.Greeting, wire.OK, 0, 0), frame(wire.Memory, wire.OK, 0, 0)
	offer := frame(wire.Offer, wire.OK, 4096, 4096)
	for name, serve := range map[string]func(t testing.TB, sock *net.UnixConn){
		"greeting": func(t testing.TB, sock *net.UnixConn) { several(t, sock, greeting, 1) },
		"late greeting": func(t testing.TB, sock *net.UnixConn) {
			send(t, sock, greeting[:9])
			several(t, sock, greeting[9:], 1)
		},
		"offer": func(t testing.TB, sock *net.UnixConn) {
			send(t, sock, greeting)
			several(t, sock, offer, 1)
		},
		"memory": func(t testing.TB, sock *net.UnixConn) {
			send(t, sock, append(greeting, offer...))
			several(t, sock, memory, 4)
		},
		"surplus": func(t testing.TB, sock *net.UnixConn) {
			send(t, sock, append(greeting, offer...))
			several(t, sock, memory, 12)
		},
		"late memory": func(t testing.TB, sock *net.UnixConn) {
			send(t, sock, append(greeting, offer...))
			send(t, sock, memory[:1])
			several(t, sock, memory[1:], 4)
		},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			watchdog(t, 2*patience)
			l, path := rawListen(t)
			networks := []string{"shm", "shm", "shm"}
			if name == "offer" || name == "late memory" {
				networks = append(networks, "unix") // nobody knows what comes next
			}
			for _, network := range networks {
				var wg sync.WaitGroup
				wg.Go(func() {
					sock, err := l.AcceptUnix()
					if err != nil {
						t.Error(err)
						return
					}
					t.Cleanup(func() { sock.Close() })
					serve(t, sock)
				})
				prompt(t, "Dial", func() {
					c, err := shmconn.Dial(network, path)
					var opErr *net.OpError
					if !errors.As(err, &opErr) || opErr.Timeout() {
						t.Errorf("%v, %v; want a refusal", c, err)
					}
				})
				wg.Wait()
			}
		})
	}
}

// A socket with many such messages is emptied in little more time than one with
// one.
func TestCloseLadenWithMany(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	near, far := unixPair(t, socketPath(t))
	for range 40 {
		give(t, far, []byte("x"), time.Hour)
	}
	prompt(t, "emptying", func() {
		if err := shmconn.CloseSocket(near); err != nil {
			t.Fatal(err)
		}
		if err := fdpass.Borrow(func(fds []int) error {
			for {
				// What is on its way (unix_outq_len in net/unix/af_unix.c).
				n, err := unix.IoctlGetInt(fds[0], unix.SIOCOUTQ)
				if err != nil || n == 0 {
					return err
				}
				runtime.Gosched()
			}
		}, far); err != nil {
			t.Error(err)
		}
	})
}
