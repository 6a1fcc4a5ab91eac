package listener_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shmconn/shmconn/listener"
)

// patience bounds every wait in these tests; none comes near it.
const patience = 20 * time.Second

// plain is the upgrade of a client that needs none.
func plain(_ context.Context, c net.Conn) (net.Conn, error) { return c, nil }

// hello succeeds when the client has sent one byte, 'h'.
func hello(_ context.Context, c net.Conn) (net.Conn, error) {
	var b [1]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return nil, err
	}
	if b[0] != 'h' {
		return nil, errGarbage
	}
	return c, nil
}

var errGarbage = errors.New("garbage")

// listenUnix returns a listener on a fresh path.
func listenUnix(t *testing.T) *net.UnixListener {
	t.Helper()
	// Not t.TempDir: its names are too long for a socket on some systems.
	dir, err := os.MkdirTemp("", "l")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// newListener returns a listener over a unix socket, closed with the test.
func newListener(t *testing.T, up listener.Upgrade, cfg listener.Config) *listener.Listener {
	t.Helper()
	l := listener.New(listenUnix(t), up, cfg)
	t.Cleanup(func() { l.Close() })
	return l
}

// dial connects to l; what is not empty is sent at once.
func dial(t *testing.T, l net.Listener, send string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	if send != "" {
		if _, err := io.WriteString(c, send); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// needBacklog skips the test where the kernel does not keep n connections
// waiting.
func needBacklog(t *testing.T, n int) {
	t.Helper()
	const file = "/proc/sys/net/core/somaxconn"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Skipf("the length of the backlog is not known: %v", err)
	}
	if have, _ := strconv.Atoi(strings.TrimSpace(string(b))); have < n {
		t.Skipf("a socket's backlog holds %d connections, the test needs %d: echo 4096 >%s", have, n, file)
	}
}

type accepted struct {
	c   net.Conn
	err error
}

// accept starts an Accept call and returns where its result comes.
func accept(l net.Listener) <-chan accepted {
	ch := make(chan accepted, 1)
	go func() {
		c, err := l.Accept()
		ch <- accepted{c, err}
	}()
	return ch
}

// mustAccept accepts one connection, closed with the test.
func mustAccept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	a := receive(t, accept(l))
	if a.err != nil {
		t.Fatalf("Accept: %v", a.err)
	}
	t.Cleanup(func() { a.c.Close() })
	return a.c
}

func receive[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		buf := make([]byte, 1<<16)
		t.Fatalf("nothing after %v\n%s", patience, buf[:runtime.Stack(buf, true)])
		panic("unreachable")
	}
}

// eventually polls cond, for states that have no channel to wait on.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !cond(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// blockedAccepts returns how many goroutines are waiting in Accept.
func blockedAccepts() int { return goroutinesIn("[select", "listener.(*Listener).Accept(") }

func wantEOF(t *testing.T, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("Read = %d, %v, want io.EOF", n, err)
	}
}

func wantOpError(t *testing.T, err error, op string, target error) {
	t.Helper()
	oe, ok := err.(*net.OpError)
	if !ok {
		t.Fatalf("error %v of type %T, want *net.OpError", err, err)
	}
	if oe.Op != op || oe.Net != "unix" || oe.Addr == nil || !errors.Is(err, target) {
		t.Fatalf("error %#v, want Op %q, Net unix, an address, wrapping %v", oe, op, target)
	}
}

// wantStats checks all counters but those that are moving.
func wantStats(t *testing.T, l *listener.Listener, want listener.Stats) {
	t.Helper()
	var got listener.Stats
	end := time.Now().Add(patience)
	for got = l.Stats(); got != want && time.Now().Before(end); got = l.Stats() {
		runtime.Gosched()
	}
	if got != want {
		t.Fatalf("stats %+v, want %+v", got, want)
	}
}
