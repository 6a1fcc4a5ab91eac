// Package explore runs a small concurrent program again and again, once for every schedule with at
// most so many preemptions. A schedule that finds a defect is found in every run, and the path to
// it is reported.
//
// The program's threads are coroutines. One can be preempted wherever it calls [Pause], which tests
// bring about at each access to a shared word, each use of a doorbell and each lock; all else runs
// as one step. The order of accesses is that of the program, on every machine alike, so that what
// one machine's memory would hide is seen here.
package explore

import (
	"fmt"
	"iter"
	"runtime/debug"
	"testing"
)

// An Explorer is one run of the program, which follows one schedule.
type Explorer struct {
	threads  []*Thread
	running  *Thread
	next     *Thread // who runs next, decided by the one that stops; nil if nobody can
	left     int     // preemptions left in this run
	path     []choice
	depth    int
	steps    int
	ending   bool // unwinds what has not ended
	problems []string

	enabled []*Thread // of decide
}

// choice is one decision that a schedule takes: which of n ways.
type choice struct{ taken, n int }

// Thread is one thread of the program.
type Thread struct {
	resume func() (struct{}, bool)
	stop   func()

	yield func(struct{}) bool
	ready func() bool // what it waits for, nil for nothing
	done  bool
}

// current is the run in progress, nil before the threads begin and after they have ended.
var current *Explorer

type stopped struct{}

// maxSteps is more than any of these programs takes.
const maxSteps = 10_000

// Pause lets the explorer decide who runs next. The caller goes on when ready returns true, or at
// any time if that is nil. Outside of a program's threads it does nothing.
func Pause(ready func() bool) {
	x := current
	if x == nil {
		return
	}
	if x.ending {
		panic(stopped{})
	}
	if x.steps++; x.steps > maxSteps {
		x.Problem("no end after %d steps", maxSteps)
		panic(stopped{})
	}
	t := x.running
	t.ready = ready
	if x.next = x.decide(); x.next != t && !t.yield(struct{}{}) {
		panic(stopped{})
	}
}

// Go adds a thread to the program. It is called during its setup.
func (x *Explorer) Go(body func()) *Thread {
	t := new(Thread)
	t.resume, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		// What a thread does with memory that it has unmapped is a defect to report.
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() {
			if r := recover(); r != nil && r != any(stopped{}) {
				x.Problem("panic: %v", r)
			}
		}()
		t.yield = yield
		body()
	})
	x.threads = append(x.threads, t)
	return t
}

// Kill ends t, which is not the caller, where it is, as SIGKILL does.
func (t *Thread) Kill() { t.done = true }

// Problem reports a defect.
func (x *Explorer) Problem(format string, args ...any) {
	x.problems = append(x.problems, fmt.Sprintf(format, args...))
}

// decide returns who runs next. The running thread comes first: to go on with it costs nothing.
func (x *Explorer) decide() *Thread {
	can := func(t *Thread) bool { return !t.done && (t.ready == nil || t.ready()) }
	goesOn := x.running != nil && can(x.running)
	if goesOn && x.left == 0 {
		return x.running
	}
	x.enabled = x.enabled[:0]
	if goesOn {
		x.enabled = append(x.enabled, x.running)
	}
	for _, t := range x.threads {
		if t != x.running && can(t) {
			x.enabled = append(x.enabled, t)
		}
	}
	if len(x.enabled) == 0 {
		return nil
	}
	i := x.choose(len(x.enabled))
	if goesOn && i > 0 {
		x.left--
	}
	return x.enabled[i]
}

// choose returns a number below n: what the path says or, at its end, 0.
func (x *Explorer) choose(n int) int {
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

// run follows one schedule to its end, at which nobody can go on.
func (x *Explorer) run() {
	current = x
	defer func() { current = nil }()
	for x.next = x.decide(); x.next != nil; {
		x.running = x.next
		if _, ok := x.running.resume(); !ok {
			x.running.done = true
			x.next = x.decide()
		}
	}
	for _, t := range x.threads {
		if !t.done {
			x.Problem("lost wake-up: all that have not ended sleep")
			break
		}
	}
	x.ending = true
	for _, t := range x.threads {
		t.stop()
	}
}

// Explore runs all schedules of the program whose threads setup starts. setup returns what to check
// at the end of each.
func Explore(t testing.TB, preemptions int, setup func(x *Explorer) (check func())) {
	t.Helper()
	var path []choice
	for n := 1; ; n++ {
		x := &Explorer{path: path, left: preemptions}
		check := setup(x)
		x.run()
		if len(x.problems) == 0 {
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
