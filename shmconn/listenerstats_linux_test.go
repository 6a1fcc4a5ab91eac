package shmconn_test

import (
	"net"
	"os"
	"slices"
	"testing"

	"github.com/shmconn/shmconn/internal/wire"
	"github.com/shmconn/shmconn/shmconn"
)

// wantStats waits until the listener's counters are as wanted.
func wantStats(t testing.TB, l net.Listener, want shmconn.ListenerStats) {
	t.Helper()
	var got shmconn.ListenerStats
	eventually(t, "counters", func() bool {
		got = l.(*shmconn.Listener).Stats()
		return got == want
	})
	if t.Failed() {
		t.Fatalf("counters are %+v\nwant %+v", got, want)
	}
}

// memoryOf is what the memory of a connection comes to.
func memoryOf(ringSize int64) int64 {
	page := int64(os.Getpagesize())
	return 2 * ((4096 + ringSize + page - 1) / page * page)
}

func TestListenerStats(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	l, path := listen(t, "unix", shmconn.ListenConfig{RingSize: 8192})
	var want shmconn.ListenerStats
	wantStats(t, l, want)

	rejected := rawDial(t, path)
	want.Accepted, want.Pending = 1, 1
	wantStats(t, l, want)
	send(t, rejected, frame(wire.Hello, wire.OK, 1, 1))
	want.Pending, want.Failed = 0, 1
	wantStats(t, l, want)

	plain, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	accept(t, l)
	want.Accepted, want.Plain = 2, 1
	wantStats(t, l, want)

	var clients, servers []net.Conn
	for i := range 3 {
		clients = append(clients, dial(t, "shm", path))
		want.Accepted++
		want.Ready++
		want.Conns++
		want.Memory += memoryOf(8192)
		wantStats(t, l, want)
		servers = append(servers, accept(t, l))
		want.Ready--
		want.Shared++
		send(t, clients[i], []byte("hello, server"))
		expect(t, servers[i], "hello, server")
		send(t, servers[i], []byte("hello"))
		want.BytesRead += uint64(len("hello, server"))
		want.BytesWritten += uint64(len("hello"))
		wantStats(t, l, want)
	}
	for i, s := range servers {
		for c := range l.(*shmconn.Listener).Conns() { // may break off
			if c.PeerCredentials().PID != int32(os.Getpid()) || !slices.Contains(servers, net.Conn(c)) {
				t.Errorf("listener carries %v, which it has not accepted", c)
			}
			break
		}
		switch i {
		case 0: // dead peer
			clients[i].Close()
		case 1: // a call may be using the memory
			go s.Read(make([]byte, 1))
		}
		s.Close()
		want.Conns--
		want.Memory -= memoryOf(8192)
		wantStats(t, l, want)
		if n := len(slices.Collect(l.(*shmconn.Listener).Conns())); n != want.Conns {
			t.Errorf("listener carries %d connections, want %d", n, want.Conns)
		}
	}
	l.Close()
	wantStats(t, l, want)
}

// TestReadyStats closes a listener with a connection that nobody has accepted.
func TestReadyStats(t *testing.T) {
	noLeaks(t)
	l, path := listen(t, "shm", shmconn.ListenConfig{RingSize: 4096})
	dial(t, "shm", path)
	wantStats(t, l, shmconn.ListenerStats{Accepted: 1, Ready: 1, Conns: 1, Memory: memoryOf(4096)})
	l.Close()
	wantStats(t, l, shmconn.ListenerStats{Accepted: 1})
}
