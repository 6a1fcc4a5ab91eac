package conformance

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shmconn/shmconn/internal/race"
)

const (
	// patience bounds waits for what should happen at once. It is far above what a loaded machine
	// needs, because no test may fail for slowness.
	patience = 20 * time.Second

	// watchdog bounds one test.
	watchdog = time.Minute

	// grace is what a test that was cut short has left to return, before the process is ended.
	grace = 10 * time.Second
)

// duplex is the part of *net.UnixConn that is examined.
type duplex interface {
	net.Conn
	CloseRead() error
	CloseWrite() error
}

// A peer is the far end of a connection, here or in another process. Errors of the methods of
// duplex are as the far end saw them.
type peer interface {
	duplex

	// do carries out a task on the far end, in its process.
	do(task) (int64, error)
}

type localPeer struct{ duplex }

func (p localPeer) do(k task) (int64, error) { return k.perform(p.duplex) }

// brief asks for fewer rounds and bytes, though as many cases: for go test -short, and under the race
// detector, which sees in each round what there is to see and slows down every copy.
func brief() bool { return testing.Short() || race.Enabled }

type test struct {
	name string
	f    func(*testing.T, *suite)
}

// A suite is a way to make connections, with the other process if there is one.
type suite struct {
	connect func() (near duplex, far peer, stop func(), err error)

	// For two processes; zero otherwise.
	child      *child
	transport  Transport
	childDials bool

	mu   sync.Mutex
	open []func() // guarded by mu: the stop functions of the running test
}

func (s *suite) runAll(t *testing.T, tests []test) {
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer s.guard(t)()
			defer s.stopAll()
			tt.f(t, s)
		})
	}
}

// pair returns a new connection that is released at the end of the test.
func (s *suite) pair(t *testing.T) (near duplex, far peer) {
	t.Helper()
	near, far, stop, err := s.connect()
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	s.track(stop)
	return near, far
}

// track has stop called when the test ends or is cut short.
func (s *suite) track(stop func()) {
	s.mu.Lock()
	s.open = append(s.open, sync.OnceFunc(stop))
	s.mu.Unlock()
}

func (s *suite) stopAll() {
	s.mu.Lock()
	open := s.open
	s.open = nil
	s.mu.Unlock()
	for _, stop := range open {
		stop()
	}
}

// guard cuts the test short when it takes too long: it prints the stacks of both processes, closes
// the connections so that what is blocked returns, and ends the process if that did not help.
func (s *suite) guard(t *testing.T) (cancel func()) {
	var (
		mu   sync.Mutex
		over bool
		last *time.Timer
	)
	first := time.AfterFunc(watchdog, func() {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		t.Errorf("not finished after %v\n%s", watchdog, stacks())
		last = time.AfterFunc(grace, func() {
			panic(fmt.Sprintf("%s: closing the connections did not end it\n%s", t.Name(), stacks()))
		})
		if s.child != nil {
			s.child.quit()
		}
		go s.stopAll()
	})
	return func() {
		first.Stop()
		mu.Lock()
		defer mu.Unlock()
		over = true
		if last != nil {
			last.Stop()
		}
	}
}

// stacks returns the stacks of all goroutines.
func stacks() []byte {
	for size := 1 << 20; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size {
			return buf[:n]
		}
	}
}

// A call is a function that runs in a goroutine of its own.
type call struct {
	n    int64
	err  error
	done chan struct{} // closed when n and err are set
}

func start[N int | int64](f func() (N, error)) *call {
	c := &call{done: make(chan struct{})}
	go runCall(c, func() {
		n, err := f()
		c.n, c.err = int64(n), err
	})
	return c
}

// runCall is never inlined: parked looks for its frame.
//
//go:noinline
func runCall(c *call, f func()) {
	defer close(c.done)
	f()
}

// wait returns the call's results.
func (c *call) wait(t *testing.T) (int64, error) {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(patience):
		t.Fatalf("call still blocked after %v\n%s", patience, stacks())
	}
	return c.n, c.err
}

// ended reports whether the call has returned.
func (c *call) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// parkedOrEnded returns when c, the only call under way, sleeps or has returned.
func parkedOrEnded(t *testing.T, c *call) {
	t.Helper()
	limit := time.Now().Add(patience)
	for seen := 0; seen < 2 && !c.ended(); {
		if _, asleep := calls(stacks()); asleep == 1 {
			seen++
		} else {
			seen = 0
		}
		if time.Now().After(limit) {
			t.Fatalf("call neither sleeps nor returns\n%s", stacks())
		}
		time.Sleep(time.Millisecond)
	}
}

// parked returns when exactly n calls are under way and all of them sleep, as seen twice in a row.
// It reads goroutine states rather than waiting some time, so that it is both quick and, on a
// loaded machine, not too early.
func parked(t *testing.T, n int) {
	t.Helper()
	limit := time.Now().Add(patience)
	for seen := 0; seen < 2; {
		dump := stacks()
		running, asleep := calls(dump)
		if asleep == n && running == n {
			seen++
		} else {
			seen = 0
		}
		if time.Now().After(limit) {
			t.Fatalf("%d calls, %d asleep; want %d and %d\n%s", running, asleep, n, n, dump)
		}
		time.Sleep(time.Millisecond) // the rate of looking, not what is waited for
	}
}

// calls counts the calls in the stacks of all goroutines, and those that sleep.
func calls(dump []byte) (running, asleep int) {
	for g := range strings.SplitSeq(string(dump), "\n\n") {
		if !strings.Contains(g, "conformance.runCall(") {
			continue
		}
		running++
		header, frames, _ := strings.Cut(g, "\n")
		_, state, _ := strings.Cut(header, "[")
		state, _, _ = strings.Cut(state, "]")
		state, _, _ = strings.Cut(state, ",")
		if sleeps(state, frames) {
			asleep++
		}
	}
	return running, asleep
}

// sleeps reports whether a goroutine in that state waits for somebody. One that
// waits for the garbage collector, as whoever allocates may at any time, does not.
func sleeps(state, frames string) bool {
	switch state {
	case "IO wait", "select", "chan receive", "chan send", "sleep",
		"sync.Cond.Wait", "sync.Mutex.Lock", "sync.RWMutex.Lock", "sync.RWMutex.RLock", "sync.WaitGroup.Wait":
		return true
	case "semacquire":
		// Of a package, such as internal/poll for the second reader of a socket, or
		// the runtime's own, whose functions do not show.
		top, _, _ := strings.Cut(frames, "(")
		return strings.HasSuffix(top, ".runtime_Semacquire")
	}
	return false
}
