package shmconn_test

import (
	"crypto/rand"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/fdpass"
	"github.com/shmconn/shmconn/internal/doorbell"
	"github.com/shmconn/shmconn/internal/wire"
	"github.com/shmconn/shmconn/memfd"
	"github.com/shmconn/shmconn/ring"
)

// frame returns a correct frame.
func frame(kind wire.Kind, status wire.Status, toClient, toServer uint64) []byte {
	return wire.Frame{Version: wire.Version, Kind: kind, Status: status, ToClient: toClient, ToServer: toServer}.Encode()
}

// rawDial connects as a client that has marked itself.
func rawDial(t testing.TB, path string) *net.UnixConn {
	t.Helper()
	mark := &net.UnixAddr{Net: "unix", Name: wire.MarkPrefix + rand.Text()}
	sock, err := net.DialUnix("unix", mark, &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sock.Close() })
	sock.SetDeadline(time.Now().Add(patience))
	return sock
}

// send writes all of b.
func send(t testing.TB, sock net.Conn, b []byte) {
	t.Helper()
	if _, err := sock.Write(b); err != nil {
		t.Fatal(err)
	}
}

// receive reads a frame of the given kind.
func receive(t testing.TB, sock net.Conn, kind wire.Kind) wire.Frame {
	t.Helper()
	b := make([]byte, wire.FrameSize)
	if _, err := io.ReadFull(sock, b); err != nil {
		t.Fatalf("receive %v: %v", kind, err)
	}
	f, err := wire.Decode(b, kind)
	if err != nil {
		t.Fatalf("receive %v: %v", kind, err)
	}
	return f
}

// rawListen listens on a fresh path without any upgrade.
func rawListen(t testing.TB) (*net.UnixListener, string) {
	t.Helper()
	path := socketPath(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	l.SetDeadline(time.Now().Add(patience))
	return l, path
}

func rawAccept(t testing.TB, l *net.UnixListener) *net.UnixConn {
	t.Helper()
	sock, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sock.Close() })
	sock.SetDeadline(time.Now().Add(patience))
	return sock
}

// rawPeer is an end of a connection that keeps to no rules after the handshake.
type rawPeer struct {
	sock     *net.UnixConn
	mine     []byte // memory that it writes
	theirs   []byte // memory of the honest end, read-only
	bell     int    // its own doorbell
	peerBell int    // the honest end's doorbell
}

// hold makes what belongs to p end with the test.
func (p *rawPeer) hold(t testing.TB) *rawPeer {
	t.Cleanup(func() {
		memfd.Unmap(p.mine)
		memfd.Unmap(p.theirs)
		unix.Close(p.bell)
		unix.Close(p.peerBell)
	})
	return p
}

// rawClient is the client's part of the handshake on sock, with rings of size
// bytes.
func rawClient(t testing.TB, sock *net.UnixConn, size int) *rawPeer {
	t.Helper()
	receive(t, sock, wire.Greeting)
	send(t, sock, frame(wire.Hello, wire.OK, uint64(size), uint64(size)))
	if f := receive(t, sock, wire.Offer); f.Status != wire.OK {
		t.Fatalf("offer of status %d", f.Status)
	}
	fds, err := fdpass.Receive(sock, make([]byte, wire.FrameSize), 4)
	if err != nil {
		t.Fatal(err)
	}
	serverMemory, clientMemory := os.NewFile(uintptr(fds[0]), "server"), os.NewFile(uintptr(fds[1]), "client")
	defer serverMemory.Close()
	defer clientMemory.Close()
	mapped := int64(ring.MemorySize(size))
	p := &rawPeer{sock: sock, bell: fds[3], peerBell: fds[2]}
	if p.mine, err = memfd.MapReadWrite(clientMemory, mapped); err != nil {
		t.Fatal(err)
	}
	if err := memfd.SealWriter(clientMemory); err != nil {
		t.Fatal(err)
	}
	if p.theirs, err = memfd.MapReadOnly(serverMemory, mapped); err != nil {
		t.Fatal(err)
	}
	send(t, sock, frame(wire.Accept, wire.OK, 0, 0))
	return p.hold(t)
}

// share is what a server offers.
type share struct {
	serverMemory, clientMemory *os.File
	serverBell, clientBell     int
}

// newShare makes a correct share. The caller closes it.
func newShare(t testing.TB, size int) *share {
	t.Helper()
	var s share
	var err error
	mapped := int64(ring.MemorySize(size))
	if s.serverMemory, err = memfd.Create("shmconn-raw", mapped); err != nil {
		t.Fatal(err)
	}
	if s.clientMemory, err = memfd.Create("shmconn-raw", mapped); err != nil {
		t.Fatal(err)
	}
	for _, bell := range []*int{&s.serverBell, &s.clientBell} {
		if *bell, err = doorbell.Create(); err != nil {
			t.Fatal(err)
		}
	}
	return &s
}

func (s *share) close() {
	s.serverMemory.Close()
	s.clientMemory.Close()
	unix.Close(s.serverBell)
	unix.Close(s.clientBell)
}

// send passes the descriptors on, in their order on the wire.
func (s *share) send(t testing.TB, sock *net.UnixConn) {
	t.Helper()
	err := fdpass.Borrow(func(f []int) error {
		return fdpass.Send(sock, frame(wire.Memory, wire.OK, 0, 0), f[0], f[1], s.serverBell, s.clientBell)
	}, s.serverMemory, s.clientMemory)
	if err != nil {
		t.Fatal(err)
	}
}

// rawServer is the server's part of the handshake on sock, with rings of size
// bytes.
func rawServer(t testing.TB, sock *net.UnixConn, size int) *rawPeer {
	t.Helper()
	s := newShare(t, size)
	mapped := int64(ring.MemorySize(size))
	p := &rawPeer{sock: sock, bell: s.serverBell, peerBell: s.clientBell}
	var err error
	if p.mine, err = memfd.MapReadWrite(s.serverMemory, mapped); err != nil {
		t.Fatal(err)
	}
	if err := memfd.SealWriter(s.serverMemory); err != nil {
		t.Fatal(err)
	}
	if p.theirs, err = memfd.MapReadOnly(s.clientMemory, mapped); err != nil {
		t.Fatal(err)
	}
	send(t, sock, frame(wire.Greeting, wire.OK, 0, 0))
	receive(t, sock, wire.Hello)
	send(t, sock, frame(wire.Offer, wire.OK, uint64(size), uint64(size)))
	s.send(t, sock)
	s.serverMemory.Close()
	s.clientMemory.Close()
	if f := receive(t, sock, wire.Accept); f.Status != wire.OK {
		t.Fatalf("verdict of status %d", f.Status)
	}
	return p.hold(t)
}
