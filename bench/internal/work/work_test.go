package work

import (
	"errors"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// small are workloads of each kind that are quick everywhere.
var small = []Workload{
	PingPong{Size: 8, Conns: 1},
	PingPong{Size: 100 << 10, Conns: 1},
	PingPong{Size: 64, Conns: 8},
	Stream{Size: 64},
	Stream{Size: 48 << 10}, // does not divide the server's buffer
	Stream{Size: 256 << 10},
	HTTP{Size: 64, Callers: 4},
	HTTP{Size: 64 << 10, Callers: 1},
	GRPC{Size: 64, Callers: 4},
	GRPC{Size: 64 << 10, Callers: 1, Streaming: true},
	DialEcho{},
	Idle{Conns: 10},
}

// setUp serves w on a unix socket whose connections wrap may change on the
// client's side.
func setUp(t *testing.T, w Workload, wrap func(net.Conn) net.Conn) (Server, Client) {
	t.Helper()
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := w.Serve(ln)
	client, err := w.Open(func() (net.Conn, error) {
		conn, err := net.DialTimeout("unix", ln.Addr().String(), 10*time.Second)
		if err != nil {
			return nil, err
		}
		if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			return nil, err
		}
		return wrap(conn), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return server, client
}

func TestWorkloads(t *testing.T) {
	for _, w := range small {
		t.Run(w.Name(), func(t *testing.T) {
			server, client := setUp(t, w, func(c net.Conn) net.Conn { return c })
			for range 2 { // slices follow each other on the same connections
				lat := NewLatency()
				ops, err := client.Run(5*time.Millisecond, lat)
				if err != nil || ops == 0 {
					t.Fatalf("Run = %d, %v", ops, err)
				}
				if n := lat.Hist.TotalCount(); Kind(w.Name()) != KindIdle && (n == 0 || n > ops) {
					t.Errorf("%d durations of %d operations", n, ops)
				}
			}
			if err := client.Close(); err != nil {
				t.Errorf("client: %v", err)
			}
			if err := server.Close(); err != nil {
				t.Errorf("server: %v", err)
			}
		})
	}
}

// choppy writes in pieces, so that messages arrive in any part.
type choppy struct{ net.Conn }

func (c choppy) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		piece := b[:min(len(b), 1+rand.IntN(3000))]
		var m int
		m, err = c.Conn.Write(piece)
		n, b = n+m, b[m:]
	}
	return n, err
}

func TestStreamInPieces(t *testing.T) {
	for _, size := range []int{64, 4 << 10, 48 << 10, 128 << 10} {
		server, client := setUp(t, Stream{Size: size}, func(c net.Conn) net.Conn { return choppy{c} })
		if _, err := client.Run(5*time.Millisecond, NewLatency()); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		client.Close()
		if err := server.Close(); err != nil {
			t.Errorf("%d bytes: server: %v", size, err)
		}
	}
}

// damaging flips a bit of the first byte of its nth write, or read.
type damaging struct {
	net.Conn
	writes, reads *atomic.Int64 // counted down
}

func (d damaging) Write(b []byte) (int, error) {
	if d.writes.Add(-1) == 0 {
		b = append([]byte(nil), b...)
		b[0] ^= 1
	}
	return d.Conn.Write(b)
}

func (d damaging) Read(b []byte) (int, error) {
	n, err := d.Conn.Read(b)
	if n > 0 && d.reads.Add(-1) == 0 {
		b[0] ^= 1
	}
	return n, err
}

func TestDamageIsSeen(t *testing.T) {
	const never = 1 << 60
	for _, w := range []Workload{PingPong{Size: 64, Conns: 1}, Stream{Size: 64}} {
		for _, nth := range [][2]int64{{5, never}, {never, 1}} {
			damage := damaging{writes: new(atomic.Int64), reads: new(atomic.Int64)}
			damage.writes.Store(nth[0])
			damage.reads.Store(nth[1])
			server, client := setUp(t, w, func(c net.Conn) net.Conn { damage.Conn = c; return damage })
			_, err := client.Run(20*time.Millisecond, NewLatency())
			client.Close()
			serverErr := server.Close()
			if err == nil {
				t.Errorf("%s: damage %v not seen by the client", w.Name(), nth)
			}
			if nth[0] != never && (serverErr == nil || !strings.Contains(serverErr.Error(), "message 4")) {
				t.Errorf("%s: server's error = %v, want one about message 4", w.Name(), serverErr)
			}
		}
	}
}

func TestRepeat(t *testing.T) {
	t.Run("counts", func(t *testing.T) {
		calls := int64(0)
		n, err := repeat(2*time.Millisecond, NewLatency(), func() error { calls++; return nil })
		if n != calls || n == 0 || err != nil {
			t.Errorf("repeat = %d, %v after %d calls", n, err, calls)
		}
	})
	t.Run("stops", func(t *testing.T) {
		boom := errors.New("boom")
		calls := 0
		n, err := repeat(time.Minute, NewLatency(), func() error {
			if calls++; calls == 100 {
				return boom
			}
			return nil
		})
		if n != 99 || !errors.Is(err, boom) {
			t.Errorf("repeat = %d, %v, want 99 and the error", n, err)
		}
	})
	t.Run("all", func(t *testing.T) {
		boom := errors.New("boom")
		ok := func() error { return nil }
		lat := NewLatency()
		if n, err := repeatAll(time.Millisecond, lat, []func() error{ok, ok, ok}); n < 3 || err != nil || lat.Hist.TotalCount() < 3 {
			t.Errorf("repeatAll = %d, %v, %d durations", n, err, lat.Hist.TotalCount())
		}
		if _, err := repeatAll(time.Millisecond, lat, []func() error{ok, func() error { return boom }}); !errors.Is(err, boom) {
			t.Errorf("repeatAll = %v, want the error", err)
		}
	})
}
