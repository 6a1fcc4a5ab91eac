package shmconn_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/shmconn/shmconn/internal/doorbell"
	"github.com/shmconn/shmconn/shmconn"
)

// patience bounds every wait for what should come at once. None comes near it
// on a machine that is merely busy.
const patience = 30 * time.Second

// watchdog ends the process, with the stacks of all goroutines, when the test
// is not over after d.
func watchdog(t testing.TB, d time.Duration) {
	t.Helper()
	timer := time.AfterFunc(d, func() {
		fmt.Fprintf(os.Stderr, "%s: not over after %v\n\n%s\n", t.Name(), d, strings.Join(stacks(), "\n\n"))
		os.Exit(2)
	})
	t.Cleanup(func() { timer.Stop() })
}

// stacks returns one string for each goroutine.
func stacks() []string {
	for size := 1 << 20; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size {
			return strings.Split(string(buf[:n]), "\n\n")
		}
	}
}

// eventually polls for something that comes without anybody saying so.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); {
		if time.Now().After(end) {
			t.Errorf("not within %v: %s", patience, what)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// footprint is what a connection takes of its process.
type footprint struct{ fds, maps, routines int }

func takeFootprint(t testing.TB) footprint {
	t.Helper()
	f, err := measure()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func measure() (footprint, error) {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return footprint{}, err
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return footprint{}, err
	}
	return footprint{len(fds), strings.Count(string(maps), "memfd:shmconn"), runtime.NumGoroutine()}, nil
}

func (f footprint) atMost(g footprint) bool {
	return f.fds <= g.fds && f.maps <= g.maps && f.routines <= g.routines
}

// settle opens what all connections of a process share: the poller of the
// runtime keeps its descriptors for ever, the watcher of hang-ups stays for a
// while after the last connection, that of doorbells until the last reader that
// has ever dozed is closed. One of each that stays open spares the tests the wait.
var settle = sync.OnceFunc(func() {
	l, err := shmconn.Listen("shm", "")
	if err != nil {
		return
	}
	defer l.Close()
	c, err := shmconn.Dial("shm", l.Addr().String())
	if err != nil {
		return
	}
	s, err := l.Accept()
	if err != nil {
		return
	}
	kept = []any{c, s}

	fd, err := doorbell.Create()
	if err != nil {
		return
	}
	bell, err := doorbell.Open(fd)
	if err != nil {
		return
	}
	if err := bell.Observe(func() {}); err != nil {
		return
	}
	kept = append(kept, bell)
})

// kept keeps the garbage collector from closing descriptors.
var kept []any

// noLeaks checks, when all else has been cleaned up, that the test has left no
// descriptor, mapping or goroutine. It is called first.
func noLeaks(t testing.TB) {
	t.Helper()
	settle()
	// What an earlier test has left to end by itself is not counted twice.
	before := takeFootprint(t)
	t.Cleanup(func() {
		t.Helper()
		if t.Failed() {
			return
		}
		var after footprint
		eventually(t, "descriptors, mappings, goroutines back to where they were", func() bool {
			after = takeFootprint(t)
			return after.atMost(before)
		})
		if t.Failed() {
			t.Errorf("%+v before, %+v after\n%s", before, after, strings.Join(stacks(), "\n\n"))
		}
	})
}

// socketPath returns a fresh path, short enough for a socket whatever the
// test's name.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "shm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// listen returns a listener on a fresh path, closed with the test.
func listen(t testing.TB, network string, lc shmconn.ListenConfig) (l net.Listener, path string) {
	t.Helper()
	path = socketPath(t)
	l, err := lc.Listen(context.Background(), network, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, path
}

func dial(t testing.TB, network, path string) net.Conn {
	t.Helper()
	c, err := shmconn.Dial(network, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func accept(t testing.TB, l net.Listener) net.Conn {
	t.Helper()
	type deadliner interface{ SetDeadline(time.Time) error }
	if d, ok := l.(deadliner); ok {
		d.SetDeadline(time.Now().Add(patience))
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// shared asserts that c is over shared memory.
func shared(t testing.TB, c net.Conn) *shmconn.Conn {
	t.Helper()
	s, ok := c.(*shmconn.Conn)
	if !ok {
		t.Fatalf("connection is a %T, want shared memory", c)
	}
	return s
}

// pair returns both ends of a connection in this process, with rings of the
// given size, or of the default size if that is 0.
func pair(t testing.TB, ringSize int) (client, server *shmconn.Conn) {
	t.Helper()
	l, path := listen(t, "shm", shmconn.ListenConfig{RingSize: ringSize})
	c := dial(t, "shm", path)
	s := accept(t, l)
	l.Close()
	return shared(t, c), shared(t, s)
}

// connect is dial and accept for a test that makes any number of connections,
// and closes each itself.
func connect(t testing.TB, l net.Listener, path string) (client, server *shmconn.Conn) {
	t.Helper()
	c, err := shmconn.Dial("shm", path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return shared(t, c), shared(t, s)
}

// unixPair returns both ends of a plain unix socket, connected to path.
func unixPair(t testing.TB, path string) (client, server *net.UnixConn) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s := accept(t, l)
	return c.(*net.UnixConn), s.(*net.UnixConn)
}

// echo returns everything that it reads until the end.
func echo(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

// serveEcho accepts until l is closed, and calls echo for each connection.
func serveEcho(t testing.TB, l net.Listener) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			wg.Go(func() { echo(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}

// exchange sends one message and awaits its echo.
func exchange(c net.Conn, msg string) error {
	c.SetDeadline(time.Now().Add(patience))
	defer c.SetDeadline(time.Time{})
	if _, err := io.WriteString(c, msg); err != nil {
		return err
	}
	buf := make([]byte, len(msg))
	if _, err := io.ReadFull(c, buf); err != nil {
		return err
	}
	if string(buf) != msg {
		return fmt.Errorf("sent %q, got back %q", msg, buf)
	}
	return nil
}

// childEnv names, in the environment of a process that a test has started,
// the part that it plays.
const childEnv = "SHMCONN_TEST_CHILD"

// children are the parts; each gets the arguments of startChild. They are
// registered by the init functions of their files.
var children = map[string]func(args []string) error{}

// runChild plays this process's part, if it has one.
func runChild() {
	part, ok := os.LookupEnv(childEnv)
	if !ok {
		return
	}
	if err := children[part](os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", part, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A child is a process that runs this test binary. It ends with the test.
type child struct {
	*exec.Cmd
	in  io.WriteCloser
	out io.Reader
}

func startChild(t testing.TB, part string, args ...string) *child {
	t.Helper()
	return start(t, nil, part, args...)
}

// startStranger is startChild for a process of another user.
func startStranger(t testing.TB, uid uint32, part string, args ...string) *child {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs processes of other users: run as root")
	}
	return start(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}, part, args...)
}

func start(t testing.TB, attr *syscall.SysProcAttr, part string, args ...string) *child {
	t.Helper()
	// Other users may not search the directory that the executable is in.
	c := &child{Cmd: exec.Command("/proc/self/exe", args...)}
	c.SysProcAttr = attr
	var err error
	// The race detector would have each child sleep for a second at its end.
	c.Env = append(os.Environ(), childEnv+"="+part, "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
	c.Stderr = os.Stderr
	if c.in, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if c.out, err = c.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.in.Close()
		c.Process.Kill()
		c.Wait()
	})
	return c
}

// orphaned ends a child when its parent is gone or done, which closes its
// standard input.
func orphaned() {
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}
