package listener_test

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/shmconn/shmconn/listener"
)

// noDeadline hides every method but those of net.Listener.
type noDeadline struct{ net.Listener }

func wantTimeout(t *testing.T, err error) {
	t.Helper()
	wantOpError(t, err, "accept", os.ErrDeadlineExceeded)
	if ne := err.(net.Error); !ne.Timeout() {
		t.Errorf("%v: Timeout() is false", err)
	}
}

func TestDeadline(t *testing.T) {
	noLeaks(t)
	l := listener.New(noDeadline{listenUnix(t)}, hello, listener.Config{})
	t.Cleanup(func() { l.Close() })

	// In the past, with a connection ready: as in package net, it is not
	// accepted, and still there when the deadline is taken away.
	dial(t, l, "h")
	wantStats(t, l, listener.Stats{Accepted: 1, Upgraded: 1, Ready: 1})
	l.SetDeadline(time.Now().Add(-time.Second))
	for range 3 {
		wantTimeout(t, receive(t, accept(l)).err)
	}
	l.SetDeadline(time.Time{})
	mustAccept(t, l)

	// In the future.
	start := time.Now()
	l.SetDeadline(start.Add(20 * time.Millisecond))
	wantTimeout(t, receive(t, accept(l)).err)
	if d := time.Since(start); d < 20*time.Millisecond {
		t.Errorf("timed out after %v", d)
	}

	// Passed meanwhile, set again, met.
	l.SetDeadline(time.Now().Add(patience))
	dial(t, l, "h")
	mustAccept(t, l)
}

// TestDeadlineMoved moves the deadline while calls are blocked.
func TestDeadlineMoved(t *testing.T) {
	noLeaks(t)
	l := newListener(t, hello, listener.Config{})
	const callers = 5
	block := func() (calls []<-chan accepted) {
		for range callers {
			calls = append(calls, accept(l))
		}
		eventually(t, "all callers blocked", func() bool { return blockedAccepts() == callers })
		return calls
	}

	// Earlier.
	l.SetDeadline(time.Now().Add(time.Hour))
	calls := block()
	l.SetDeadline(time.Now().Add(10 * time.Millisecond))
	for _, ch := range calls {
		wantTimeout(t, receive(t, ch).err)
	}
	// From none into the past.
	l.SetDeadline(time.Time{})
	calls = block()
	l.SetDeadline(time.Unix(0, 1))
	for _, ch := range calls {
		wantTimeout(t, receive(t, ch).err)
	}
	// Later, and away: the first deadline passes and nothing happens.
	for _, later := range []time.Time{time.Now().Add(time.Hour), {}} {
		l.SetDeadline(time.Time{})
		calls = block()
		first := time.Now().Add(30 * time.Millisecond)
		l.SetDeadline(first)
		l.SetDeadline(later)
		passed := make(chan struct{})
		time.AfterFunc(time.Until(first)+10*time.Millisecond, func() { close(passed) })
		receive(t, passed)
		if n := blockedAccepts(); n != callers {
			t.Fatalf("%d callers are still blocked, want %d", n, callers)
		}
		for range callers {
			dial(t, l, "h")
		}
		for _, ch := range calls {
			a := receive(t, ch)
			if a.err != nil {
				t.Fatal(a.err)
			}
			a.c.Close()
		}
	}
}

// TestDeadlineLateTimer: a timer that has fired, but comes after the call that
// took its deadline away, has no effect.
func TestDeadlineLateTimer(t *testing.T) {
	noLeaks(t)
	l := newListener(t, hello, listener.Config{})
	l.SetDeadline(time.Now().Add(50 * time.Millisecond))
	unlock := l.LockDeadline()
	go l.SetDeadline(time.Time{})
	for _, name := range []string{"listener.(*deadline).set(", "listener.(*deadline).set.func1("} {
		eventually(t, "waiting for the lock: "+name, func() bool { return goroutinesIn("[sync.Mutex.Lock", name) == 1 })
	}
	unlock()
	eventually(t, "both done", func() bool { return goroutinesIn("listener.(*deadline).set") == 0 })
	dial(t, l, "h")
	mustAccept(t, l)
}

func TestDeadlineAfterClose(t *testing.T) {
	noLeaks(t)
	l := newListener(t, hello, listener.Config{})
	l.SetDeadline(time.Unix(0, 1))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// Closed goes before expired, as in package net.
	_, err := l.Accept()
	wantOpError(t, err, "accept", net.ErrClosed)
	wantOpError(t, l.SetDeadline(time.Time{}), "set", net.ErrClosed)
}
