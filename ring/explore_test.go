//go:build ringhook

package ring

import (
	"fmt"
	"iter"
	"testing"
)

// explorer runs a small program of several threads again and again, once for
// every schedule with at most so many preemptions. A thread can be preempted
// at each access to a shared word and at each use of a doorbell; all else
// runs as one step. The order of accesses is that of the program, on every
// machine alike, so that what one machine's memory would hide is seen here.
type explorer struct {
	threads  []*thread
	running  *thread
	left     int // preemptions left in this run
	path     []choice
	depth    int
	problems []string
}

// choice is one decision that a schedule takes: which of n ways.
type choice struct{ taken, n int }

// thread is a coroutine. It hands back the condition that it waits for, nil
// for none.
type thread struct {
	next func() (func() bool, bool)
	stop func()

	yield func(func() bool) bool
	ready func() bool
	done  bool
}

type stopped struct{}

// pause lets the explorer decide who runs next.
func (x *explorer) pause(ready func() bool) {
	if !x.running.yield(ready) {
		panic(stopped{})
	}
}

func (x *explorer) spawn(body func()) *thread {
	t := new(thread)
	t.next, t.stop = iter.Pull(func(yield func(func() bool) bool) {
		defer func() {
			if r := recover(); r != nil && r != any(stopped{}) {
				x.problem("panic: %v", r)
			}
		}()
		t.yield = yield
		body()
	})
	x.threads = append(x.threads, t)
	return t
}

func (x *explorer) problem(format string, args ...any) {
	x.problems = append(x.problems, fmt.Sprintf(format, args...))
}

// choose returns a number below n: what the path says or, at its end, 0.
func (x *explorer) choose(n int) int {
	if n == 1 {
		return 0
	}
	if x.depth == len(x.path) {
		x.path = append(x.path, choice{0, n})
	}
	c := x.path[x.depth]
	x.depth++
	return c.taken
}

// run follows one schedule to its end and reports whether all threads ended.
func (x *explorer) run() bool {
	const tooLong = 10_000
	for range tooLong {
		// The running thread comes first: to go on with it costs nothing.
		var enabled []*thread
		alive, goesOn := false, false
		for _, t := range x.threads {
			alive = alive || !t.done
			switch {
			case t.done || t.ready != nil && !t.ready():
			case t == x.running:
				enabled = append([]*thread{t}, enabled...)
				goesOn = true
			default:
				enabled = append(enabled, t)
			}
		}
		switch {
		case len(enabled) == 0:
			return !alive
		case goesOn && x.left == 0:
			enabled = enabled[:1]
		}
		i := x.choose(len(enabled))
		if goesOn && i > 0 {
			x.left--
		}
		x.running = enabled[i]
		ready, ok := x.running.next()
		x.running.ready, x.running.done = ready, !ok
	}
	x.problem("no end after %d steps", tooLong)
	return true
}

// explore runs all schedules of the program that setup spawns. setup returns
// what to check at the end of each.
func explore(t *testing.T, preemptions int, setup func(x *explorer) (check func())) {
	t.Helper()
	var path []choice
	for n := 1; ; n++ {
		x := &explorer{path: path, left: preemptions}
		hook = func() {}
		check := setup(x)
		hook = func() { x.pause(nil) }
		ended := x.run()
		hook = func() {}
		if !ended {
			x.problem("lost wake-up: all that have not ended sleep")
		}
		for _, t := range x.threads {
			t.stop()
		}
		if ended {
			check()
		}
		if len(x.problems) > 0 {
			t.Fatalf("schedule %d: %q\npath %v", n, x.problems, x.path)
		}
		path = x.path
		for len(path) > 0 && path[len(path)-1].taken+1 == path[len(path)-1].n {
			path = path[:len(path)-1]
		}
		if len(path) == 0 {
			t.Logf("%d schedules with up to %d preemptions", n, preemptions)
			return
		}
		path[len(path)-1].taken++
	}
}

// bell is a doorbell for the explorer's threads.
type bell struct {
	x    *explorer
	rung bool
}

func (b *bell) ring() {
	b.x.pause(nil)
	b.rung = true
}

func (b *bell) wait() bool {
	b.x.pause(func() bool { return b.rung })
	b.rung = false
	return true
}
