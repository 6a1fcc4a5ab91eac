package listener_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"testing"
	"time"

	"github.com/shmconn/shmconn/listener"
)

// TestEvictionOrder: the oldest upgrade in progress gives way, not one that
// has been upgraded.
func TestEvictionOrder(t *testing.T) {
	noLeaks(t)
	reports := make(chan error, 10)
	l := newListener(t, hello, listener.Config{
		Timeout:    patience,
		MaxPending: 3,
		OnError:    func(_ net.Conn, err error) { reports <- err },
	})
	// The oldest of all is upgraded, so the next ones give way.
	c0 := dial(t, l, "h")
	wantStats(t, l, listener.Stats{Accepted: 1, Upgraded: 1, Ready: 1})
	var c []net.Conn
	for range 2 {
		c = append(c, dial(t, l, ""))
	}
	wantStats(t, l, listener.Stats{Accepted: 3, Upgraded: 1, Ready: 1, Pending: 2})
	for i := range 5 {
		c = append(c, dial(t, l, ""))
		err := receive(t, reports)
		if !errors.Is(err, listener.ErrEvicted) || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("reported %v, want ErrEvicted and the read's error", err)
		}
		wantEOF(t, c[i])
	}
	wantStats(t, l, listener.Stats{Accepted: 8, Upgraded: 1, Ready: 1, Evicted: 5, Pending: 2})
	// The last two are still there.
	for _, c := range c[5:] {
		io.WriteString(c, "h")
	}
	for range 3 {
		io.WriteString(mustAccept(t, l), "y")
	}
	for _, c := range []net.Conn{c0, c[5], c[6]} {
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Errorf("client that was not to be evicted: %v", err)
		}
	}
	wantStats(t, l, listener.Stats{Accepted: 8, Upgraded: 3, Evicted: 5})
}

// TestBurst: more honest clients at once than there are places wait for each
// other instead of evicting each other.
func TestBurst(t *testing.T) {
	noLeaks(t)
	inner := listenUnix(t)
	const n = 1000
	needBacklog(t, n)
	for range n {
		dial(t, inner, "h")
	}
	l := listener.NewWithGrace(inner, hello, listener.Config{MaxPending: 8}, patience)
	t.Cleanup(func() { l.Close() })
	for range n {
		mustAccept(t, l).Close()
	}
	wantStats(t, l, listener.Stats{Accepted: n, Upgraded: n})
}

// TestEvictionGrace: the two promises of Config.MaxPending about the minimum
// age, that 1000 silent clients are passed in 50 ms and that there is one.
func TestEvictionGrace(t *testing.T) {
	for _, places := range []int{1, 2, 7, 128, 999, 1000, 5000, math.MaxInt} {
		grace := listener.EvictionGrace(places)
		if rounds := time.Duration(1000 / places); rounds*grace > 50*time.Millisecond {
			t.Errorf("%d places: 1000 clients take %v", places, rounds*grace)
		}
		if want := min(time.Duration(places)*50*time.Microsecond, time.Second); places <= 5000 && grace != want {
			t.Errorf("%d places: grace %v, want %v", places, grace, want)
		}
	}
}

// fill has n connections upgraded, one after the other, so that with n places
// none evicts another.
func fill(t *testing.T, l *listener.Listener, n int) {
	t.Helper()
	for i := range n {
		dial(t, l, "h")
		wantStats(t, l, listener.Stats{Accepted: uint64(i + 1), Upgraded: uint64(i + 1), Ready: i + 1})
	}
}

// TestReadyFillsPlaces: upgraded connections are not evicted; when they hold
// all places, the listener stops accepting.
func TestReadyFillsPlaces(t *testing.T) {
	noLeaks(t)
	const places, n = 4, 20
	l := listener.NewWithGrace(listenUnix(t), hello, listener.Config{MaxPending: places}, patience)
	t.Cleanup(func() { l.Close() })
	fill(t, l, places)
	full := l.Stats()
	// The loop may be in inner.Accept already and then holds one.
	for range n - places {
		dial(t, l, "h")
	}
	eventually(t, "accept loop at rest", func() bool {
		return goroutinesIn("[select", "listener.(*Listener).awaitPlace(")+
			goroutinesIn("[select", "listener.(*Listener).admit(") == 1
	})
	if s := l.Stats(); s != full {
		t.Fatalf("stats %+v, want %+v", s, full)
	}
	for i := range n {
		mustAccept(t, l)
		left := min(places, n-1-i)
		wantStats(t, l, listener.Stats{Accepted: uint64(i + 1 + left), Upgraded: uint64(i + 1 + left), Ready: left})
	}
}

// TestStuckUpgrades: upgrades that ignore their context do not pile up, and
// the listener goes on when they have returned.
func TestStuckUpgrades(t *testing.T) {
	noLeaks(t)
	const places = 3
	release := make(chan struct{})
	up := func(ctx context.Context, c net.Conn) (net.Conn, error) {
		<-release
		return c, nil
	}
	l := newListener(t, up, listener.Config{MaxPending: places})
	for range 4 * places {
		dial(t, l, "")
	}
	stuck := listener.Stats{Accepted: 2 * places, Evicted: places, Pending: places}
	wantStats(t, l, stuck)
	eventually(t, "accept loop at rest", func() bool {
		return goroutinesIn("[select", "listener.(*Listener).awaitPlace(") == 1
	})
	if s := l.Stats(); s != stuck {
		t.Fatalf("stats %+v, want %+v", s, stuck)
	}
	close(release)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	// What was in the backlog follows; with so few places some of it may be
	// evicted in turn.
	eventually(t, "all clients upgraded or evicted", func() bool {
		s := l.Stats()
		return s.Accepted == 4*places && s.Upgraded > 0 && s.Upgraded+s.Evicted == 4*places && s.Ready == 0
	})
}
