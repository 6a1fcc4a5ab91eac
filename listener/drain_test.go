package listener_test

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/shmconn/shmconn/listener"
)

// TestDrain lets an upgrade in progress and an upgraded connection go on.
func TestDrain(t *testing.T) {
	noLeaks(t)
	l := newListener(t, hello, listener.Config{})
	dial(t, l, "h")
	wantStats(t, l, listener.Stats{Accepted: 1, Upgraded: 1, Ready: 1})
	slow := dial(t, l, "")
	wantStats(t, l, listener.Stats{Accepted: 2, Upgraded: 1, Pending: 1, Ready: 1})

	if err := l.Drain(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("unix", l.Addr().String()); err == nil {
		t.Error("the inner listener is still open")
	}
	mustAccept(t, l)
	third := accept(l)
	slow.Write([]byte("h"))
	a := receive(t, third)
	if a.err != nil {
		t.Fatalf("Accept of an upgrade in progress: %v", a.err)
	}
	a.c.Close()
	a = receive(t, accept(l))
	wantOpError(t, a.err, "accept", net.ErrClosed)
	wantOpError(t, l.Drain(), "close", net.ErrClosed)
	wantOpError(t, l.Close(), "close", net.ErrClosed)
}

// TestDrainEnds checks what ends the wait for the last connections: there are
// none, the last upgrade fails or takes too long, or Close.
func TestDrainEnds(t *testing.T) {
	for name, test := range map[string]struct {
		cfg   listener.Config
		setup func(*testing.T, *listener.Listener) (end func())
	}{
		"none": {setup: func(*testing.T, *listener.Listener) func() { return func() {} }},
		"failed": {setup: func(t *testing.T, l *listener.Listener) func() {
			c := dial(t, l, "")
			wantStats(t, l, listener.Stats{Accepted: 1, Pending: 1})
			return func() { c.Close() }
		}},
		"silent": {cfg: listener.Config{Timeout: 100 * time.Millisecond}, setup: func(t *testing.T, l *listener.Listener) func() {
			dial(t, l, "")
			return func() {}
		}},
		"close": {setup: func(t *testing.T, l *listener.Listener) func() {
			dial(t, l, "")
			wantStats(t, l, listener.Stats{Accepted: 1, Pending: 1})
			return func() { l.Close() }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			l := newListener(t, hello, test.cfg)
			end := test.setup(t, l)
			blocked := accept(l)
			if err := l.Drain(); err != nil {
				t.Fatal(err)
			}
			end()
			a := receive(t, blocked)
			wantOpError(t, a.err, "accept", net.ErrClosed)
		})
	}
}

// TestDrainAbandoned ends connections that nobody accepts.
func TestDrainAbandoned(t *testing.T) {
	noLeaks(t)
	l := newListener(t, hello, listener.Config{Timeout: 100 * time.Millisecond})
	c := dial(t, l, "h")
	wantStats(t, l, listener.Stats{Accepted: 1, Upgraded: 1, Ready: 1})
	l.Drain()
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read of an abandoned connection: %v", err)
	}
}
