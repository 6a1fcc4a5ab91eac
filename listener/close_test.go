package listener_test

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/shmconn/shmconn/listener"
)

// TestCloseAgain holds the listener to what a *net.UnixListener does.
func TestCloseAgain(t *testing.T) {
	noLeaks(t)
	for _, l := range []net.Listener{listenUnix(t), newListener(t, hello, listener.Config{})} {
		path := l.Addr().String()
		if err := l.Close(); err != nil {
			t.Errorf("%T: Close: %v", l, err)
		}
		for range 2 {
			wantOpError(t, l.Close(), "close", net.ErrClosed)
			_, err := l.Accept()
			wantOpError(t, err, "accept", net.ErrClosed)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%T: socket file after Close: %v", l, err)
		}
	}
}

func TestCloseStates(t *testing.T) {
	emfile := os.NewSyscallError("accept4", syscall.EMFILE)
	states := []struct {
		name  string
		cfg   listener.Config
		setup func(t *testing.T, l *listener.Listener, errs chan<- error)
	}{
		{"fresh", listener.Config{}, func(*testing.T, *listener.Listener, chan<- error) {}},
		{"pending", listener.Config{}, func(t *testing.T, l *listener.Listener, _ chan<- error) {
			dial(t, l, "")
			wantStats(t, l, listener.Stats{Accepted: 1, Pending: 1})
		}},
		{"finishing", listener.Config{}, func(t *testing.T, l *listener.Listener, _ chan<- error) {
			dial(t, l, "h")
		}},
		{"ready", listener.Config{}, func(t *testing.T, l *listener.Listener, _ chan<- error) {
			dial(t, l, "h")
			wantStats(t, l, listener.Stats{Accepted: 1, Upgraded: 1, Ready: 1})
		}},
		{"full", listener.Config{MaxPending: 2}, func(t *testing.T, l *listener.Listener, _ chan<- error) {
			fill(t, l, 2)
			for range 3 {
				dial(t, l, "h")
			}
		}},
		{"evicting", listener.Config{MaxPending: 2}, func(t *testing.T, l *listener.Listener, _ chan<- error) {
			for range 5 {
				dial(t, l, "")
			}
		}},
		{"error", listener.Config{}, func(_ *testing.T, l *listener.Listener, errs chan<- error) {
			errs <- emfile
			errs <- emfile
		}},
	}
	for _, st := range states {
		t.Run(st.name, func(t *testing.T) {
			for range 100 {
				closeOnce(t, st.cfg, st.setup)
			}
		})
	}
}

// closeOnce closes a listener in the given state from two goroutines and
// checks that nothing is left. There are Accept calls in every second run.
func closeOnce(t *testing.T, cfg listener.Config, setup func(*testing.T, *listener.Listener, chan<- error)) {
	noLeaks(t)
	inner := &failing{Listener: listenUnix(t), errs: make(chan error, 2)}
	l := listener.New(inner, hello, cfg)
	t.Cleanup(func() { l.Close() })
	setup(t, l, inner.errs)
	// Whatever the state, these return; the connection or error that is
	// waiting may still go to one of them.
	calls := []<-chan accepted{accept(l), accept(l)}
	errs := make(chan error, 2)
	for range 2 {
		go func() { errs <- l.Close() }()
	}
	first, second := receive(t, errs), receive(t, errs)
	if first != nil {
		first, second = second, first
	}
	if first != nil {
		t.Fatalf("Close: %v, %v", first, second)
	}
	wantOpError(t, second, "close", net.ErrClosed)
	for _, ch := range calls {
		switch a := receive(t, ch); {
		case a.err == nil:
			a.c.Close()
		case !errors.Is(a.err, syscall.EMFILE):
			wantOpError(t, a.err, "accept", net.ErrClosed)
		}
	}
	_, err := l.Accept()
	wantOpError(t, err, "accept", net.ErrClosed)
	eventually(t, "no upgrade left", func() bool {
		s := l.Stats()
		return s.Pending == 0 && s.Ready == 0 && s.Accepted == s.Upgraded+s.Failed+s.Evicted
	})
}

// TestCloseDisconnects: pending and ready clients see the end, the context
// its cause, and OnError both.
func TestCloseDisconnects(t *testing.T) {
	noLeaks(t)
	reports := make(chan error, 1)
	causes := make(chan error, 2)
	up := func(ctx context.Context, c net.Conn) (net.Conn, error) {
		c, err := hello(ctx, c)
		if err != nil {
			// Not before the context has ended does Read fail here.
			causes <- context.Cause(ctx)
		}
		return c, err
	}
	l := newListener(t, up, listener.Config{OnError: func(_ net.Conn, err error) { reports <- err }})
	ready, silent := dial(t, l, "h"), dial(t, l, "")
	wantStats(t, l, listener.Stats{Accepted: 2, Upgraded: 1, Ready: 1, Pending: 1})
	l.Close()
	wantEOF(t, ready)
	wantEOF(t, silent)
	if err := receive(t, causes); err != net.ErrClosed {
		t.Errorf("cause %v, want net.ErrClosed", err)
	}
	if err := receive(t, reports); !errors.Is(err, net.ErrClosed) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reported %v, want net.ErrClosed and the read's error", err)
	}
}

// TestCloseStuck: Close does not wait for an upgrade that ignores its
// context, and what that makes in the end is closed.
func TestCloseStuck(t *testing.T) {
	noLeaks(t)
	release := make(chan struct{})
	up := func(_ context.Context, c net.Conn) (net.Conn, error) {
		<-release
		return c, nil
	}
	l := newListener(t, up, listener.Config{})
	c := dial(t, l, "")
	wantStats(t, l, listener.Stats{Accepted: 1, Pending: 1})
	closed := make(chan error, 1)
	go func() { closed <- l.Close() }()
	if err := receive(t, closed); err != nil {
		t.Fatal(err)
	}
	close(release)
	wantEOF(t, c)
	wantStats(t, l, listener.Stats{Accepted: 1, Failed: 1})
}

// TestCloseDuringTraffic closes at an arbitrary moment under load.
func TestCloseDuringTraffic(t *testing.T) {
	noLeaks(t)
	for range 20 {
		l := newListener(t, hello, listener.Config{MaxPending: 4})
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for {
					c, err := net.Dial("unix", l.Addr().String())
					if errors.Is(err, syscall.EAGAIN) {
						continue
					}
					if err != nil {
						return
					}
					c.Write([]byte("hg"[i%2:][:1]))
					c.Close()
				}
			})
		}
		for range 20 {
			mustAccept(t, l).Close()
		}
		l.Close()
		wg.Wait()
	}
}
