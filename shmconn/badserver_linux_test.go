package shmconn_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/fdpass"
	"github.com/shmconn/shmconn/internal/wire"
	"github.com/shmconn/shmconn/memfd"
	"github.com/shmconn/shmconn/ring"
	"github.com/shmconn/shmconn/shmconn"
)

// greet brings the handshake to the point where the client awaits the offer.
func greet(t testing.TB, sock *net.UnixConn) {
	t.Helper()
	send(t, sock, frame(wire.Greeting, 0, 0, 0))
	receive(t, sock, wire.Hello)
}

// badShare makes an offer, shares memory of which one thing is wrong, and leaves
// it to the client to find out.
func badShare(spoil func(t testing.TB, s *share)) func(t testing.TB, sock *net.UnixConn) {
	return badOffer(4096, 4096, spoil)
}

// badOffer is badShare with an offer of other capacities than the memory has.
func badOffer(toClient, toServer uint64, spoil func(t testing.TB, s *share)) func(t testing.TB, sock *net.UnixConn) {
	return func(t testing.TB, sock *net.UnixConn) {
		s := newShare(t, 4096)
		defer s.close()
		mapped, err := memfd.MapReadWrite(s.serverMemory, int64(ring.MemorySize(4096)))
		if err != nil {
			t.Fatal(err)
		}
		defer memfd.Unmap(mapped)
		spoil(t, s)
		greet(t, sock)
		send(t, sock, frame(wire.Offer, 0, toClient, toServer))
		s.send(t, sock)
	}
}

func seal(t testing.TB, s *share) {
	t.Helper()
	if err := memfd.SealWriter(s.serverMemory); err != nil {
		t.Fatal(err)
	}
}

// replace puts fd in the place of a descriptor of the share.
func replace(old *int, fd int, err error) {
	if err != nil {
		panic(err)
	}
	unix.Close(*old)
	*old = fd
}

// deafen has what the client sends from now on fail, as it does to a server that
// has died.
func deafen(t testing.TB, sock *net.UnixConn) {
	if err := sock.CloseRead(); err != nil {
		t.Error(err)
	}
}

// badServers are what a server can do wrong to a client that dials "shm".
var badServers = []struct {
	name string
	want string // part of the client's error
	run  func(t testing.TB, sock *net.UnixConn)
}{
	{"garbage", "does not offer shared memory", func(t testing.TB, sock *net.UnixConn) {
		send(t, sock, []byte("220 mail.example.com ESMTP\r\n"))
	}},
	{"half a greeting, then death", "does not offer shared memory", func(t testing.TB, sock *net.UnixConn) {
		send(t, sock, frame(wire.Greeting, 0, 0, 0)[:20])
		sock.Close()
	}},
	{"version 0", "version", func(t testing.TB, sock *net.UnixConn) {
		send(t, sock, wire.Frame{Version: 0, Kind: wire.Greeting}.Encode())
	}},
	{"offer instead of greeting", "malformed", func(t testing.TB, sock *net.UnixConn) {
		send(t, sock, frame(wire.Offer, 0, 0, 0))
	}},
	{"garbage for an offer", "receive offer", func(t testing.TB, sock *net.UnixConn) {
		greet(t, sock)
		send(t, sock, []byte("220 mail.example.com ESMTP\r\n"))
	}},
	{"half an offer, then death", "receive offer", func(t testing.TB, sock *net.UnixConn) {
		greet(t, sock)
		send(t, sock, frame(wire.Offer, 0, 4096, 4096)[:16])
		sock.Close()
	}},
	{"version 2 in the offer", "version", func(t testing.TB, sock *net.UnixConn) {
		greet(t, sock)
		send(t, sock, wire.Frame{Version: 2, Kind: wire.Offer, ToClient: 4096, ToServer: 4096}.Encode())
	}},
	{"refusal", "policy", func(t testing.TB, sock *net.UnixConn) {
		greet(t, sock)
		send(t, sock, frame(wire.Offer, wire.Refused, 0, 0))
	}},
	{"bad request", "ring size", func(t testing.TB, sock *net.UnixConn) {
		greet(t, sock)
		send(t, sock, frame(wire.Offer, wire.BadRequest, 0, 0))
	}},
	{"busy", "no room", func(t testing.TB, sock *net.UnixConn) {
		greet(t, sock)
		send(t, sock, frame(wire.Offer, wire.Busy, 0, 0))
	}},
	{"plain", "no shared memory", func(t testing.TB, sock *net.UnixConn) {
		greet(t, sock)
		send(t, sock, frame(wire.Offer, wire.Plain, 0, 0))
	}},
	{"unknown status", "status 200", func(t testing.TB, sock *net.UnixConn) {
		greet(t, sock)
		send(t, sock, frame(wire.Offer, 200, 0, 0))
	}},
	{"ring of 2^63 bytes", "9223372036854775808", badOffer(1<<63, 4096, seal)},
	{"ring of 5000 bytes", "5000", badOffer(4096, 5000, seal)},
	{"ring of 64 bytes", "ring of 64", badOffer(64, 4096, seal)},
	{"memory without descriptors", "descriptors", func(t testing.TB, sock *net.UnixConn) {
		greet(t, sock)
		send(t, sock, frame(wire.Offer, 0, 4096, 4096))
		send(t, sock, frame(wire.Memory, 0, 0, 0))
	}},
	{"five descriptors", "descriptors", func(t testing.TB, sock *net.UnixConn) {
		greet(t, sock)
		send(t, sock, frame(wire.Offer, 0, 4096, 4096))
		if err := fdpass.Send(sock, frame(wire.Memory, 0, 0, 0), 0, 1, 2, 0, 1); err != nil {
			t.Fatal(err)
		}
	}},
	{"wrong kind with the descriptors", "malformed", func(t testing.TB, sock *net.UnixConn) {
		s := newShare(t, 4096)
		defer s.close()
		greet(t, sock)
		send(t, sock, frame(wire.Offer, 0, 4096, 4096))
		fds := []int{s.serverBell, s.serverBell, s.serverBell, s.clientBell}
		if err := fdpass.Send(sock, frame(wire.Hello, 0, 0, 0), fds...); err != nil {
			t.Fatal(err)
		}
	}},
	{"server's memory not sealed", "seals", badShare(func(t testing.TB, s *share) {})},
	{"client's memory sealed too far", "seals", badShare(func(t testing.TB, s *share) {
		seal(t, s)
		if err := memfd.AddSeals(s.clientMemory, memfd.SealFutureWrite); err != nil {
			t.Fatal(err)
		}
	})},
	{"server's memory shorter than announced", "size", badShare(func(t testing.TB, s *share) {
		s.serverMemory.Close()
		s.serverMemory, _ = memfd.Create("shmconn-raw", 4096)
		seal(t, s)
	})},
	{"client's memory shorter than announced", "size", badShare(func(t testing.TB, s *share) {
		seal(t, s)
		s.clientMemory.Close()
		s.clientMemory, _ = memfd.Create("shmconn-raw", 4096)
	})},
	{"pipe for the server's doorbell", "eventfd", badShare(func(t testing.TB, s *share) {
		seal(t, s)
		var p [2]int
		err := unix.Pipe(p[:])
		unix.Close(p[0])
		replace(&s.serverBell, p[1], err)
	})},
	{"socket for the client's doorbell", "eventfd", badShare(func(t testing.TB, s *share) {
		seal(t, s)
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		replace(&s.clientBell, fd, err)
	})},
	{"file for the client's memory", "no seals", badShare(func(t testing.TB, s *share) {
		seal(t, s)
		s.clientMemory.Close()
		exe, err := os.Open("/proc/self/exe")
		if err != nil {
			t.Fatal(err)
		}
		s.clientMemory = exe
	})},
	{"deaf to the hello", "send hello", func(t testing.TB, sock *net.UnixConn) {
		deafen(t, sock)
		send(t, sock, frame(wire.Greeting, 0, 0, 0))
	}},
	{"deaf to the verdict", "send verdict", func(t testing.TB, sock *net.UnixConn) {
		s := newShare(t, 4096)
		defer s.close()
		seal(t, s)
		greet(t, sock)
		deafen(t, sock)
		send(t, sock, frame(wire.Offer, 0, 4096, 4096))
		s.send(t, sock)
	}},

	{"death at once", "does not offer shared memory", func(t testing.TB, sock *net.UnixConn) {
		sock.Close()
	}},
	{"death after the greeting", "", func(t testing.TB, sock *net.UnixConn) {
		send(t, sock, frame(wire.Greeting, 0, 0, 0))
		sock.Close()
	}},
	{"death after the hello", "receive offer", func(t testing.TB, sock *net.UnixConn) {
		greet(t, sock)
		sock.Close()
	}},
	{"death after the offer", "EOF", func(t testing.TB, sock *net.UnixConn) {
		greet(t, sock)
		send(t, sock, frame(wire.Offer, 0, 4096, 4096))
		sock.Close()
	}},
	{"death within the memory", "EOF", func(t testing.TB, sock *net.UnixConn) {
		s := newShare(t, 4096)
		defer s.close()
		greet(t, sock)
		send(t, sock, frame(wire.Offer, 0, 4096, 4096))
		fds := []int{s.serverBell, s.serverBell, s.serverBell, s.clientBell}
		if err := fdpass.Send(sock, frame(wire.Memory, 0, 0, 0)[:9], fds...); err != nil {
			t.Fatal(err)
		}
		sock.Close()
	}},
}

// TestBadServer has Dial fail on every bad server, with an error that says why
// and has the form of package net's, and leave nothing behind.
func TestBadServer(t *testing.T) {
	for _, bad := range badServers {
		t.Run(bad.name, func(t *testing.T) {
			noLeaks(t)
			watchdog(t, patience)
			l, path := rawListen(t)
			result := make(chan error, 1)
			go func() {
				c, err := shmconn.Dial("shm", path)
				if err == nil {
					c.Close()
				}
				result <- err
			}()
			bad.run(t, rawAccept(t, l))
			err := <-result
			var op *net.OpError
			if !errors.As(err, &op) || err != error(op) || op.Op != "dial" || op.Source != nil || op.Addr.String() != path {
				t.Fatalf("error is %#v, want a *net.OpError of dial", err)
			}
			if !strings.Contains(err.Error(), bad.want) {
				t.Errorf("error is %q, want it to mention %q", err, bad.want)
			}
		})
	}
}

// TestServerDiesAfterTheVerdict leaves the client with a connection that tells
// of the death.
func TestServerDiesAfterTheVerdict(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	l, path := rawListen(t)
	result := make(chan net.Conn, 1)
	go func() { result <- dial(t, "shm", path) }()
	rawServer(t, rawAccept(t, l), 4096).sock.Close()
	c := <-result
	if n, err := c.Read(make([]byte, 10)); n != 0 || !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("read %d bytes, %v; want ECONNRESET", n, err)
	}
	if n, err := c.Write(make([]byte, 10)); n != 0 || !errors.Is(err, unix.EPIPE) {
		t.Errorf("wrote %d bytes, %v; want EPIPE", n, err)
	}
}

// TestBadServerFallback has a client that dials "unix" decline what it cannot
// use and go on over the socket, where no byte of the handshake is left.
func TestBadServerFallback(t *testing.T) {
	for _, bad := range badServers {
		switch bad.want {
		case "seals", "no seals", "size", "eventfd", "descriptors", "9223372036854775808", "5000", "ring of 64":
		default:
			continue
		}
		t.Run(bad.name, func(t *testing.T) {
			noLeaks(t)
			watchdog(t, patience)
			l, path := rawListen(t)
			result := make(chan error, 1)
			go func() {
				c, err := shmconn.Dial("unix", path)
				if err == nil {
					defer c.Close()
					if _, ok := c.(*shmconn.Conn); ok {
						err = errors.New("client uses the shared memory")
					} else {
						err = exchange(c, "in plain words")
					}
				}
				result <- err
			}()
			sock := rawAccept(t, l)
			bad.run(t, sock)
			if f := receive(t, sock, wire.Accept); f.Status != wire.Plain {
				t.Errorf("verdict has status %d, want %d", f.Status, wire.Plain)
			}
			if _, err := io.CopyN(sock, sock, int64(len("in plain words"))); err != nil {
				t.Error(err)
			}
			if err := <-result; err != nil {
				t.Error(err)
			}
		})
	}
}
