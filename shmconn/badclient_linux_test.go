package shmconn_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/fdpass"
	"github.com/shmconn/shmconn/internal/wire"
	"github.com/shmconn/shmconn/memfd"
	"github.com/shmconn/shmconn/shmconn"
)

// takeMemoryFrame receives the memory frame and closes its descriptors.
func takeMemoryFrame(t testing.TB, sock *net.UnixConn) {
	t.Helper()
	fds, err := fdpass.Receive(sock, make([]byte, wire.FrameSize), 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// answer asserts that the server declines with status and then closes.
func answer(t testing.TB, sock *net.UnixConn, status wire.Status) {
	t.Helper()
	if f := receive(t, sock, wire.Offer); f.Status != status {
		t.Errorf("offer has status %d, want %d", f.Status, status)
	}
	ended(t, sock)
}

// ended asserts that the other end closes sock without another word.
func ended(t testing.TB, sock *net.UnixConn) {
	t.Helper()
	n, err := sock.Read(make([]byte, 1))
	if n != 0 || err != io.EOF && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("read %d bytes, %v; want the server to close", n, err)
	}
}

// badClients are what a marked client can do wrong. Each returns what is to be
// part of the error that the server reports, and leaves the socket open unless
// its death is the point.
var badClients = []struct {
	name string
	want string
	run  func(t testing.TB, sock *net.UnixConn)
}{
	{"garbage", "not a shmconn frame", func(t testing.TB, sock *net.UnixConn) {
		send(t, sock, []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
		receive(t, sock, wire.Greeting)
		ended(t, sock)
	}},
	{"half a hello, then silence", "receive hello", func(t testing.TB, sock *net.UnixConn) {
		receive(t, sock, wire.Greeting)
		send(t, sock, frame(wire.Hello, 0, 0, 0)[:16])
		ended(t, sock)
	}},
	{"silence", "receive hello", func(t testing.TB, sock *net.UnixConn) {
		receive(t, sock, wire.Greeting)
		ended(t, sock)
	}},
	{"version 0", "version", func(t testing.TB, sock *net.UnixConn) {
		send(t, sock, wire.Frame{Version: 0, Kind: wire.Hello}.Encode())
		receive(t, sock, wire.Greeting)
		answer(t, sock, wire.BadVersion)
	}},
	{"version 2", "version", func(t testing.TB, sock *net.UnixConn) {
		send(t, sock, wire.Frame{Version: 2, Kind: wire.Hello}.Encode())
		receive(t, sock, wire.Greeting)
		answer(t, sock, wire.BadVersion)
	}},
	{"accept instead of hello", "malformed", func(t testing.TB, sock *net.UnixConn) {
		send(t, sock, frame(wire.Accept, 0, 0, 0))
		receive(t, sock, wire.Greeting)
		answer(t, sock, wire.BadRequest)
	}},
	{"reserved bytes", "malformed", func(t testing.TB, sock *net.UnixConn) {
		b := frame(wire.Hello, 0, 0, 0)
		b[13] = 1
		send(t, sock, b)
		receive(t, sock, wire.Greeting)
		answer(t, sock, wire.BadRequest)
	}},
	{"ring of 2^63 bytes", "9223372036854775808", func(t testing.TB, sock *net.UnixConn) {
		send(t, sock, frame(wire.Hello, 0, 1<<63, 0))
		receive(t, sock, wire.Greeting)
		answer(t, sock, wire.BadRequest)
	}},
	{"ring of 2 GiB", "2147483648", func(t testing.TB, sock *net.UnixConn) {
		send(t, sock, frame(wire.Hello, 0, 0, 2<<30))
		receive(t, sock, wire.Greeting)
		answer(t, sock, wire.BadRequest)
	}},
	{"ring of 5000 bytes", "5000", func(t testing.TB, sock *net.UnixConn) {
		send(t, sock, frame(wire.Hello, 0, 4096, 5000))
		receive(t, sock, wire.Greeting)
		answer(t, sock, wire.BadRequest)
	}},
	{"ring of 64 bytes", "64", func(t testing.TB, sock *net.UnixConn) {
		send(t, sock, frame(wire.Hello, 0, 64, 64))
		receive(t, sock, wire.Greeting)
		answer(t, sock, wire.BadRequest)
	}},
	{"descriptors with the hello", "receive hello", func(t testing.TB, sock *net.UnixConn) {
		switch err := fdpass.Send(sock, frame(wire.Hello, 0, 0, 0), 0, 1, 2); {
		case errors.Is(err, unix.EPERM):
			sock.Close() // the server was faster, and the kernel does not take them
			return
		case err != nil:
			t.Fatal(err)
		}
		receive(t, sock, wire.Greeting)
		ended(t, sock)
	}},
	{"memory left unsealed", "seals", func(t testing.TB, sock *net.UnixConn) {
		send(t, sock, frame(wire.Hello, 0, 0, 0))
		receive(t, sock, wire.Greeting)
		receive(t, sock, wire.Offer)
		takeMemoryFrame(t, sock)
		send(t, sock, frame(wire.Accept, wire.OK, 0, 0))
		ended(t, sock)
	}},
	{"memory sealed against all writing", "seals", func(t testing.TB, sock *net.UnixConn) {
		send(t, sock, frame(wire.Hello, 0, 0, 0))
		receive(t, sock, wire.Greeting)
		receive(t, sock, wire.Offer)
		fds, err := fdpass.Receive(sock, make([]byte, wire.FrameSize), 4)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.FcntlInt(uintptr(fds[1]), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SEAL); err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			unix.Close(fd)
		}
		send(t, sock, frame(wire.Accept, wire.OK, 0, 0))
		ended(t, sock)
	}},
	{"declining with a reason", "declines with status 2", func(t testing.TB, sock *net.UnixConn) {
		send(t, sock, frame(wire.Hello, 0, 0, 0))
		receive(t, sock, wire.Greeting)
		receive(t, sock, wire.Offer)
		takeMemoryFrame(t, sock)
		send(t, sock, frame(wire.Accept, wire.Refused, 0, 0))
		ended(t, sock)
	}},
	{"garbage for a verdict", "receive verdict", func(t testing.TB, sock *net.UnixConn) {
		send(t, sock, frame(wire.Hello, 0, 0, 0))
		receive(t, sock, wire.Greeting)
		receive(t, sock, wire.Offer)
		takeMemoryFrame(t, sock)
		send(t, sock, []byte("whatever"))
		ended(t, sock)
	}},
	{"another frame for a verdict, all else in order", "receive verdict", func(t testing.TB, sock *net.UnixConn) {
		send(t, sock, frame(wire.Hello, 0, 0, 0))
		receive(t, sock, wire.Greeting)
		receive(t, sock, wire.Offer)
		fds, err := fdpass.Receive(sock, make([]byte, wire.FrameSize), 4)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.FcntlInt(uintptr(fds[1]), unix.F_ADD_SEALS, int(memfd.WriterSealed)); err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			unix.Close(fd)
		}
		send(t, sock, frame(wire.Hello, 0, 0, 0))
		ended(t, sock)
	}},
	{"silence instead of a verdict", "receive verdict", func(t testing.TB, sock *net.UnixConn) {
		send(t, sock, frame(wire.Hello, 0, 0, 0))
		receive(t, sock, wire.Greeting)
		receive(t, sock, wire.Offer)
		takeMemoryFrame(t, sock)
		ended(t, sock)
	}},

	{"death before the greeting is read", "hello", func(t testing.TB, sock *net.UnixConn) {
		sock.Close()
	}},
	{"death after the greeting", "receive hello", func(t testing.TB, sock *net.UnixConn) {
		receive(t, sock, wire.Greeting)
		sock.Close()
	}},
	{"death within the hello", "receive hello", func(t testing.TB, sock *net.UnixConn) {
		receive(t, sock, wire.Greeting)
		send(t, sock, frame(wire.Hello, 0, 0, 0)[:31])
		sock.Close()
	}},
	{"death after the hello", "", func(t testing.TB, sock *net.UnixConn) {
		receive(t, sock, wire.Greeting)
		send(t, sock, frame(wire.Hello, 0, 0, 0))
		sock.Close()
	}},
	{"death after the offer, memory unread", "", func(t testing.TB, sock *net.UnixConn) {
		receive(t, sock, wire.Greeting)
		send(t, sock, frame(wire.Hello, 0, 0, 0))
		receive(t, sock, wire.Offer)
		sock.Close()
	}},
	{"death after the memory", "receive verdict", func(t testing.TB, sock *net.UnixConn) {
		receive(t, sock, wire.Greeting)
		send(t, sock, frame(wire.Hello, 0, 0, 0))
		receive(t, sock, wire.Offer)
		takeMemoryFrame(t, sock)
		sock.Close()
	}},
	{"death within the verdict", "receive verdict", func(t testing.TB, sock *net.UnixConn) {
		receive(t, sock, wire.Greeting)
		send(t, sock, frame(wire.Hello, 0, 0, 0))
		receive(t, sock, wire.Offer)
		takeMemoryFrame(t, sock)
		send(t, sock, frame(wire.Accept, 0, 0, 0)[:1])
		sock.Close()
	}},
}

// TestBadClient has every bad client fail at the server, with an error that
// says why, while an honest one goes on connecting and talking.
func TestBadClient(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	failures := make(chan error, 1)
	l, path := listen(t, "shm", shmconn.ListenConfig{
		RingSize:         4096,
		HandshakeTimeout: 2 * time.Second,
		OnError: func(c net.Conn, err error) {
			if !strings.HasPrefix(c.RemoteAddr().String(), wire.MarkPrefix) {
				err = errors.New("not from the bad client")
			}
			failures <- err
		},
	})
	serveEcho(t, l)

	stop := make(chan struct{})
	var honest sync.WaitGroup
	honest.Go(func() {
		for rounds := 0; ; rounds++ {
			start := time.Now()
			c, err := shmconn.Dial("shm", path)
			if err == nil {
				err = exchange(c, "hello, server")
				c.Close()
			}
			if err != nil {
				t.Errorf("honest client, round %d: %v", rounds, err)
				return
			}
			// Each handshake of a bad client takes a second or two.
			if took := time.Since(start); took > time.Second {
				t.Errorf("honest client, round %d: held up for %v", rounds, took)
			}
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	defer honest.Wait()
	defer close(stop)

	for _, bad := range badClients {
		t.Run(bad.name, func(t *testing.T) {
			bad.run(t, rawDial(t, path))
			select {
			case err := <-failures:
				if err == nil || !strings.Contains(err.Error(), bad.want) {
					t.Errorf("server reports %q, want it to mention %q", err, bad.want)
				}
			case <-time.After(patience):
				t.Error("server reports no error")
			}
		})
	}
}

// TestBadClientsAtOnce has many of them at the same time.
func TestBadClientsAtOnce(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	l, path := listen(t, "shm", shmconn.ListenConfig{RingSize: 4096, HandshakeTimeout: 2 * time.Second})
	serveEcho(t, l)
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 3 {
		for _, bad := range badClients {
			sock := rawDial(t, path)
			wg.Go(func() { bad.run(t, sock) })
		}
	}
	if err := exchange(dial(t, "shm", path), "hello, server"); err != nil {
		t.Errorf("honest client: %v", err)
	}
}
