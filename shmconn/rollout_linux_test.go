package shmconn_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shmconn/shmconn/fdpass"
	"github.com/shmconn/shmconn/internal/wire"
	"github.com/shmconn/shmconn/shmconn"
)

// TestPairings has every kind of client talk to every kind of server, whoever
// speaks first, and checks which of them are over shared memory.
func TestPairings(t *testing.T) {
	const (
		question = "\x00 any bytes \xff"
		reply    = "\xfe other bytes"
	)
	for _, client := range []string{"plain", "unix", "shm"} {
		for _, server := range []string{"plain", "unix", "shm"} {
			for _, first := range []string{"client", "server"} {
				t.Run(client+" to "+server+", "+first+" first", func(t *testing.T) {
					noLeaks(t)
					watchdog(t, patience)
					path := socketPath(t)
					l, err := listenAs(server, path)
					if err != nil {
						t.Fatal(err)
					}
					defer l.Close()
					accepted := make(chan net.Conn, 1)
					go func() {
						c, err := l.Accept()
						if err != nil {
							return
						}
						if first == "server" {
							io.WriteString(c, reply)
						}
						accepted <- c
					}()

					if client == "shm" && server == "plain" {
						d := shmconn.Dialer{NetDialer: net.Dialer{Timeout: 200 * time.Millisecond}}
						if _, err := d.Dial(client, path); err == nil {
							t.Error("strict client connects to a plain server")
						}
						(<-accepted).Close()
						return
					}
					c, err := dialAs(client, path)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					c.SetDeadline(time.Now().Add(patience))
					if client == "plain" && server == "shm" {
						if n, err := c.Read(make([]byte, 1)); err != io.EOF {
							t.Errorf("plain client of a strict server reads %d bytes, %v; want EOF", n, err)
						}
						return
					}
					s := <-accepted
					defer s.Close()
					s.SetDeadline(time.Now().Add(patience))
					want := client != "plain" && server != "plain"
					for _, end := range []net.Conn{c, s} {
						if _, got := end.(*shmconn.Conn); got != want {
							t.Errorf("one end is a %T", end)
						}
					}
					if a := c.LocalAddr(); a.Network() != "unix" || a.String() != "@" {
						t.Errorf("client's address is %s %s, want an unnamed one", a.Network(), a)
					}
					if a := s.RemoteAddr(); server != "plain" && a.String() != "@" {
						t.Errorf("client's address is %s to the server, want an unnamed one", a)
					}
					if first == "client" {
						io.WriteString(c, question)
						expect(t, s, question)
						io.WriteString(s, reply)
					}
					expect(t, c, reply)
					if first == "server" {
						io.WriteString(c, question)
						expect(t, s, question)
					}
					s.Close()
					if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
						t.Errorf("read %d bytes, %v at the end, want EOF", n, err)
					}
				})
			}
		}
	}
}

// expect asserts that want arrives.
func expect(t testing.TB, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got[:n], err, want)
	}
}

// TestPlainServerRemembered dials a server that never greets several times:
// only the first connection is marked, and so waits for a greeting. Another
// server on the same path is tried anew.
func TestPlainServerRemembered(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	path := socketPath(t)
	plain, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	clients := make(chan net.Addr, 3)
	serveEcho(t, addressReporter{plain, clients})
	for i := range 3 {
		c := dial(t, "unix", path)
		client := (<-clients).String()
		if marked := strings.HasPrefix(client, wire.MarkPrefix); marked != (i == 0) {
			t.Errorf("dial %d came from %q", i, client)
		}
		if err := exchange(c, "\xf5shm, plain bytes that begin like a frame"); err != nil {
			t.Error(err)
		}
		c.Close()
	}
	plain.Close()

	l, err := shmconn.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	serveEcho(t, l)
	if err := exchange(shared(t, dial(t, "unix", path)), "upgraded"); err != nil {
		t.Error(err)
	}
}

// addressReporter is a listener that reports where its clients come from.
type addressReporter struct {
	net.Listener
	clients chan<- net.Addr
}

func (l addressReporter) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.clients <- c.RemoteAddr()
	}
	return c, err
}

// TestLateGreeting has a server accept so late that the client has taken it
// for a plain one. The greeting that comes after all never reaches the
// application, however the bytes around it are cut.
func TestLateGreeting(t *testing.T) {
	for name, test := range map[string]struct {
		client string // what the client writes before the server accepts
		server string // what the server writes, after having read that
	}{
		"client first":           {"a question", "an answer"},
		"client first, one byte": {"?", "!"},
		"server first":           {"", "welcome"},
		"like a frame":           {"", wire.Magic[:4]},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			watchdog(t, patience)
			inner, path := rawListen(t)
			c := dial(t, "unix", path) // waits for the greeting in vain
			if _, ok := c.(*shmconn.Conn); ok {
				t.Fatal("shared memory without a server")
			}
			io.WriteString(c, test.client)
			l := shmconn.NewListener(inner, nil)
			defer l.Close()
			s := accept(t, l)
			if _, ok := s.(*shmconn.Conn); ok {
				t.Fatal("server has an end in shared memory, the client has not")
			}
			expect(t, s, test.client)
			io.WriteString(s, test.server)
			s.Close()
			c.SetReadDeadline(time.Now().Add(patience))
			got, err := io.ReadAll(c)
			if err != nil || string(got) != test.server {
				t.Errorf("client reads %q, %v; want %q", got, err, test.server)
			}
		})
	}
}

// TestLateGreetingCut delivers the greeting, and what looks like one, in
// pieces, with deadlines in between.
func TestLateGreetingCut(t *testing.T) {
	greeting := string(frame(wire.Greeting, 0, 0, 0))
	for name, test := range map[string]struct {
		pieces []string
		want   string
	}{
		"greeting in three":        {[]string{greeting[:1], greeting[1:9], greeting[9:] + "data"}, "data"},
		"greeting only":            {[]string{greeting[:31], greeting[31:]}, ""},
		"half a greeting, the end": {[]string{greeting[:5]}, greeting[:5]},
		"like a greeting":          {[]string{greeting[:5], "X", "YZ"}, greeting[:5] + "XYZ"},
		"two greetings":            {[]string{greeting, greeting}, greeting},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			watchdog(t, patience)
			l, path := rawListen(t)
			c := dial(t, "unix", path)
			sock := rawAccept(t, l)
			var got []byte
			buf := make([]byte, 100)
			for _, piece := range test.pieces {
				send(t, sock, []byte(piece))
				// Whether or not anything of the piece can be delivered, what is
				// held back survives the timeout.
				for {
					c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
					n, err := c.Read(buf)
					got = append(got, buf[:n]...)
					if err != nil {
						if !errors.Is(err, os.ErrDeadlineExceeded) {
							t.Fatal(err)
						}
						break
					}
				}
			}
			sock.Close()
			c.SetReadDeadline(time.Now().Add(patience))
			rest, err := io.ReadAll(c)
			if got = append(got, rest...); err != nil || string(got) != test.want {
				t.Errorf("client reads %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

// TestLateGreetingCopied is WriteTo's and ReadFrom's part of it.
func TestLateGreetingCopied(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	l, path := rawListen(t)
	c := dial(t, "unix", path)
	sock := rawAccept(t, l)
	text := strings.Repeat("0123456789", 10_000)
	go func() {
		sock.Write(frame(wire.Greeting, 0, 0, 0))
		io.Copy(sock, sock)
		sock.CloseWrite()
	}()
	go func() {
		io.Copy(c, strings.NewReader(text))
		c.(interface{ CloseWrite() error }).CloseWrite()
	}()
	c.SetReadDeadline(time.Now().Add(patience))
	var got bytes.Buffer
	if n, err := io.Copy(&got, c); err != nil || n != int64(len(text)) || got.String() != text {
		t.Errorf("copied %d bytes, %v; want %d", n, err, len(text))
	}
}

// TestLateHello has a marked client send its hello when the server has given
// the connection to the application as a plain one: that is an error for the
// application, and never data.
func TestLateHello(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	l, path := listen(t, "unix", shmconn.ListenConfig{})
	sock := rawDial(t, path)
	receive(t, sock, wire.Greeting)
	s := accept(t, l) // after a second
	if _, ok := s.(*shmconn.Conn); ok {
		t.Fatal("shared memory without a hello")
	}
	send(t, sock, frame(wire.Hello, 0, 0, 0))
	s.SetReadDeadline(time.Now().Add(patience))
	for range 2 {
		n, err := s.Read(make([]byte, 100))
		if op, ok := err.(*net.OpError); n != 0 || !ok || op.Op != "read" || !strings.Contains(err.Error(), "late") {
			t.Errorf("read %d bytes, %v; want an error about a late hello", n, err)
		}
	}
}

// TestImpatientClient uses the socket as a plain one before the server looks
// for the hello. Bytes that begin like a frame are not mistaken for one.
func TestImpatientClient(t *testing.T) {
	for _, words := range []string{"x", "GET / HTTP/1.1\r\n\r\n", wire.Magic[:7] + "!", strings.Repeat("long ", 100)} {
		noLeaks(t)
		watchdog(t, patience)
		l, path := listen(t, "unix", shmconn.ListenConfig{})
		sock := rawDial(t, path)
		send(t, sock, []byte(words))
		receive(t, sock, wire.Greeting)
		c := accept(t, l)
		if a := c.RemoteAddr().String(); a != "@" {
			t.Errorf("client's address is %s, want an unnamed one", a)
		}
		expect(t, c, words)
	}
}

// TestOtherNetworks are package net's.
func TestOtherNetworks(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	l, err := shmconn.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := l.(*net.TCPListener); !ok {
		t.Errorf("listener is a %T", l)
	}
	serveEcho(t, l)
	c := dial(t, "tcp", l.Addr().String())
	if _, ok := c.(*net.TCPConn); !ok {
		t.Errorf("connection is a %T", c)
	}
	if err := exchange(c, "tcp"); err != nil {
		t.Error(err)
	}
	for _, network := range []string{"", "Unix", "shmconn"} {
		if _, err := shmconn.Dial(network, "/x"); !errors.As(err, new(net.UnknownNetworkError)) {
			t.Errorf("Dial(%q): %v", network, err)
		}
		if _, err := shmconn.Listen(network, "/x"); !errors.As(err, new(net.UnknownNetworkError)) {
			t.Errorf("Listen(%q): %v", network, err)
		}
	}
}

// TestNewListener serves sockets that were made elsewhere.
func TestNewListener(t *testing.T) {
	t.Run("tcp", func(t *testing.T) {
		noLeaks(t)
		watchdog(t, patience)
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l := shmconn.NewListener(inner, nil)
		defer l.Close()
		dial(t, "tcp", inner.Addr().String())
		if c, ok := accept(t, l).(*net.TCPConn); !ok {
			t.Errorf("connection is a %T", c)
		}
	})
	t.Run("inherited", func(t *testing.T) {
		noLeaks(t)
		watchdog(t, patience)
		first, path := rawListen(t)
		file, err := first.File()
		if err != nil {
			t.Fatal(err)
		}
		first.SetUnlinkOnClose(false)
		first.Close()
		inner, err := net.FileListener(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		l := shmconn.NewListener(inner, &shmconn.ListenConfig{RingSize: 8192})
		serveEcho(t, l)
		if err := exchange(shared(t, dial(t, "shm", path)), "inherited"); err != nil {
			t.Error(err)
		}
		l.Close()
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("the socket file of somebody else: %v", err)
		}
	})
}

// TestDialTarget understands gRPC's targets.
func TestDialTarget(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	l, path := listen(t, "unix", shmconn.ListenConfig{})
	serveEcho(t, l)
	abstract, err := shmconn.Listen("unix", "@"+path)
	if err != nil {
		t.Fatal(err)
	}
	serveEcho(t, abstract)
	var d shmconn.Dialer
	for _, target := range []string{"unix://" + path, "unix:" + path, path, "unix-abstract:" + path} {
		c, err := d.DialTarget(t.Context(), target)
		if err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		defer c.Close()
		if err := exchange(shared(t, c), target); err != nil {
			t.Error(err)
		}
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveEcho(t, tcp)
	c, err := d.DialTarget(t.Context(), tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := exchange(c, "tcp"); err != nil {
		t.Error(err)
	}
}

// A plain server that speaks first, and attaches a descriptor to it, is served as
// over a plain socket.
func TestPlainServerWithDescriptor(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	l, path := rawListen(t)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		sock, err := l.AcceptUnix()
		if err != nil {
			t.Error(err)
			return
		}
		defer sock.Close()
		if err := fdpass.Send(sock, []byte("220 ready"), 0); err != nil {
			t.Error(err)
		}
	})
	c, err := shmconn.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := io.ReadAll(c); string(got) != "220 ready" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestRingSizes checks who decides on the ring's size: the client asks, within
// the server's limit.
func TestRingSizes(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	for _, test := range []struct{ server, limit, client, want int }{
		{4096, 0, 0, 4096},
		{4096, 0, 65536, 4096},
		{65536, 0, 8192, 8192},
		{4096, 32768, 16384, 16384},
		{4096, 32768, 65536, 32768},
		{0, 0, 4096, 4096},
		{0, 65536, 0, 65536},
	} {
		l, path := listen(t, "shm", shmconn.ListenConfig{RingSize: test.server, MaxRingSize: test.limit})
		d := shmconn.Dialer{RingSize: test.client}
		c, err := d.Dial("shm", path)
		if err != nil {
			t.Fatal(err)
		}
		s := accept(t, l)
		for _, end := range []net.Conn{c, s} {
			// A ring takes as many bytes as it is large without anybody reading.
			end.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
			if n, err := end.Write(make([]byte, 2*test.want)); n != test.want || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%+v: ring takes %d bytes, %v", test, n, err)
			}
			defer end.Close()
		}
	}
}

// Each end spins as long as it is configured to.
func TestSpinBudgets(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	for _, test := range []struct{ server, client time.Duration }{
		{0, 0},
		{-1, time.Millisecond},
		{time.Second, -1},
	} {
		l, path := listen(t, "shm", shmconn.ListenConfig{SpinBudget: test.server})
		d := shmconn.Dialer{SpinBudget: test.client}
		c, err := d.Dial("shm", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for end, want := range map[net.Conn]time.Duration{c: test.client, accept(t, l): test.server} {
			if in, out := shmconn.SpinBudgets(shared(t, end)); in != want || out != want {
				t.Errorf("%+v: spins for %v reading, %v writing, want %v", test, in, out, want)
			}
		}
	}
}
