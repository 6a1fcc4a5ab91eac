package listener_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shmconn/shmconn/listener"
)

func TestPlain(t *testing.T) {
	noLeaks(t)
	l := newListener(t, plain, listener.Config{})
	// One goroutine, dial before accept, as over a plain socket.
	c := dial(t, l, "hi")
	s := mustAccept(t, l)
	if _, ok := s.(*net.UnixConn); !ok {
		t.Errorf("accepted %T, want what the inner listener accepted", s)
	}
	var b [2]byte
	if _, err := io.ReadFull(s, b[:]); err != nil || string(b[:]) != "hi" {
		t.Fatalf("read %q, %v", b, err)
	}
	if l.Addr().String() != c.RemoteAddr().String() || l.Addr().Network() != "unix" {
		t.Errorf("Addr = %v", l.Addr())
	}
	wantStats(t, l, listener.Stats{Accepted: 1, Upgraded: 1})
}

// TestParallel has as many upgrades as there are places all wait for each
// other.
func TestParallel(t *testing.T) {
	noLeaks(t)
	const n = 64
	var together sync.WaitGroup
	together.Add(n)
	up := func(ctx context.Context, c net.Conn) (net.Conn, error) {
		together.Done()
		together.Wait()
		return c, nil
	}
	l := newListener(t, up, listener.Config{MaxPending: n})
	for range n {
		dial(t, l, "")
	}
	for range n {
		mustAccept(t, l)
	}
	wantStats(t, l, listener.Stats{Accepted: n, Upgraded: n})
}

// wrapped is an upgraded connection that is not the accepted one.
type wrapped struct{ net.Conn }

// TestReplaced also checks that the context, with its timer, does not outlive
// the upgrade.
func TestReplaced(t *testing.T) {
	noLeaks(t)
	ended := make(chan (<-chan struct{}), 1)
	up := func(ctx context.Context, c net.Conn) (net.Conn, error) {
		ended <- ctx.Done()
		return wrapped{c}, nil
	}
	l := newListener(t, up, listener.Config{Timeout: time.Hour})
	dial(t, l, "")
	receive(t, receive(t, ended))
	if c := mustAccept(t, l); c.(wrapped).Conn == nil {
		t.Errorf("accepted %#v", c)
	}
}

func TestManyAccepts(t *testing.T) {
	noLeaks(t)
	const n = 100
	l := newListener(t, hello, listener.Config{})
	got := make(chan accepted, n)
	for range n {
		go func() {
			c, err := l.Accept()
			got <- accepted{c, err}
		}()
	}
	for range n {
		dial(t, l, "h")
	}
	seen := make(map[net.Conn]bool)
	for range n {
		a := receive(t, got)
		if a.err != nil || seen[a.c] {
			t.Fatalf("Accept: %v, %v, seen before: %v", a.c, a.err, seen[a.c])
		}
		seen[a.c] = true
		a.c.Close()
	}
}

// TestFailed checks that bad clients are counted, reported with their
// connection still open, closed, and never an error of Accept.
func TestFailed(t *testing.T) {
	noLeaks(t)
	reports := make(chan error, 3)
	cfg := listener.Config{OnError: func(c net.Conn, err error) {
		if _, werr := c.Write([]byte("x")); werr != nil && err == errGarbage {
			t.Errorf("connection closed before OnError: %v", werr)
		}
		reports <- err
	}}
	l := newListener(t, hello, cfg)
	pending := accept(l)

	garbage := dial(t, l, "g")
	if err := receive(t, reports); err != errGarbage {
		t.Errorf("reported %v, want the upgrade's own error", err)
	}
	io.ReadFull(garbage, make([]byte, 1))
	wantEOF(t, garbage)
	dial(t, l, "").Close()
	if err := receive(t, reports); err != io.EOF {
		t.Errorf("reported %v, want io.EOF", err)
	}

	dial(t, l, "h")
	a := receive(t, pending)
	if a.err != nil {
		t.Fatal(a.err)
	}
	a.c.Close()
	wantStats(t, l, listener.Stats{Accepted: 3, Upgraded: 1, Failed: 2})
}

// TestNoConn: an upgrade that returns nothing, or does not return, fails.
func TestNoConn(t *testing.T) {
	noLeaks(t)
	for name, up := range map[string]listener.Upgrade{
		"nil":    func(context.Context, net.Conn) (net.Conn, error) { return nil, nil },
		"goexit": func(context.Context, net.Conn) (net.Conn, error) { runtime.Goexit(); return nil, nil },
		"both":   func(_ context.Context, c net.Conn) (net.Conn, error) { return c, errGarbage },
	} {
		t.Run(name, func(t *testing.T) {
			l := newListener(t, up, listener.Config{MaxPending: 1})
			// Twice as many as could be held if they kept their places.
			for range 4 {
				wantEOF(t, dial(t, l, ""))
			}
			wantStats(t, l, listener.Stats{Accepted: 4, Failed: 4})
		})
	}
}

// TestTimeout: a stuck Read is unblocked, the client disconnected.
func TestTimeout(t *testing.T) {
	noLeaks(t)
	reports := make(chan error, 1)
	l := newListener(t, hello, listener.Config{
		Timeout: 10 * time.Millisecond,
		OnError: func(_ net.Conn, err error) { reports <- err },
	})
	wantEOF(t, dial(t, l, ""))
	err := receive(t, reports)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reported %v, want the context's end and the read's", err)
	}
	wantStats(t, l, listener.Stats{Accepted: 1, Failed: 1})
}

// TestLateSuccess: an upgrade that ignores its context and succeeds too late
// counts as failed, and the connection that it made is closed.
func TestLateSuccess(t *testing.T) {
	noLeaks(t)
	reports := make(chan error, 1)
	up := func(ctx context.Context, c net.Conn) (net.Conn, error) {
		<-ctx.Done()
		return wrapped{c}, nil
	}
	l := newListener(t, up, listener.Config{
		Timeout: time.Millisecond,
		OnError: func(_ net.Conn, err error) { reports <- err },
	})
	wantEOF(t, dial(t, l, ""))
	if err := receive(t, reports); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("reported %v, want context.DeadlineExceeded", err)
	}
	wantStats(t, l, listener.Stats{Accepted: 1, Failed: 1})
}

// TestSlowDeadline: nobody gets the connection, or hears of it, while its
// deadline is still being set because the time is up.
func TestSlowDeadline(t *testing.T) {
	noLeaks(t)
	slow := &slowDeadline{begun: make(chan struct{})}
	up := func(_ context.Context, c net.Conn) (net.Conn, error) {
		<-slow.begun
		return c, nil
	}
	reports := make(chan error, 1)
	l := listener.New(slowDeadlines{listenUnix(t), slow}, up, listener.Config{
		Timeout: time.Millisecond,
		OnError: func(_ net.Conn, err error) {
			if !slow.ended.Load() {
				err = errors.New("reported while the deadline is being set")
			}
			reports <- err
		},
	})
	defer l.Close()
	dial(t, l, "")
	if err := receive(t, reports); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// slowDeadlines is a listener whose connections take their time over SetDeadline.
type slowDeadlines struct {
	net.Listener
	state *slowDeadline
}

func (l slowDeadlines) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return slowConn{c, l.state}, nil
}

type slowDeadline struct {
	begun chan struct{}
	ended atomic.Bool
}

type slowConn struct {
	net.Conn
	state *slowDeadline
}

func (c slowConn) SetDeadline(t time.Time) error {
	close(c.state.begun)
	// Who does not wait for the end of this has time to go wrong.
	time.Sleep(20 * time.Millisecond)
	c.state.ended.Store(true)
	return c.Conn.SetDeadline(t)
}

// TestDeadlineDoesNotLeak lets upgrades end at about the moment at which
// their time is up: either the client is disconnected, or the application
// gets a connection without a deadline on it.
func TestDeadlineDoesNotLeak(t *testing.T) {
	noLeaks(t)
	const timeout = 500 * time.Microsecond
	up := func(ctx context.Context, c net.Conn) (net.Conn, error) {
		end, _ := ctx.Deadline()
		// Around the end and, being busy, past ctx.Done as often as before.
		for time.Until(end) > 20*time.Microsecond {
		}
		return c, nil
	}
	l := newListener(t, up, listener.Config{Timeout: timeout})
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			// Echo, which a deadline in the past would prevent.
			b := make([]byte, 1)
			if _, err := io.ReadFull(c, b); err != nil {
				t.Errorf("Read of an accepted connection: %v", err)
			}
			c.Write(b)
			c.Close()
		}
	}()
	for range 300 {
		c := dial(t, l, "")
		// Both fail where the upgrade was too late.
		io.WriteString(c, "e")
		c.Read(make([]byte, 1))
		c.Close()
	}
	l.Close()
	receive(t, served)
	if s := l.Stats(); s.Upgraded == 0 {
		t.Logf("no upgrade was in time: %+v", s)
	}
}

// TestPanic: a panic in an upgrade ends the program, also when OnError would
// block for ever.
func TestPanic(t *testing.T) {
	if os.Getenv("LISTENER_TEST_PANIC") != "" {
		up := func(context.Context, net.Conn) (net.Conn, error) { panic("seen by all") }
		l := newListener(t, up, listener.Config{OnError: func(net.Conn, error) { select {} }})
		dial(t, l, "")
		l.Accept()
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestPanic$")
	cmd.Env = append(os.Environ(), "LISTENER_TEST_PANIC=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "panic: seen by all") {
		t.Fatalf("child ended with %v and said\n%s", err, out)
	}
}
