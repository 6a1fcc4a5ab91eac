package shmconn

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// quietCPUs forgets what other tests have made the process believe, and has it
// believe in more than one CPU.
func quietCPUs() {
	cpus.one = false
	for _, r := range []*respite{&cpus.noSpins, &cpus.noLoans} {
		r.until.Store(0)
		r.length.Store(0)
	}
	cpus.wins.Store(0)
	cpus.lent.Store(0)
	cpus.looked.Store(-int64(lookEvery))
}

// used returns a waiter that has waited just now.
func used() *waiter { return &waiter{waits: max(cpus.waits.Load(), 1)} }

// spins counts of n waits in vain those that looked at all.
func spins(w *waiter, n int) int {
	looked := 0
	for range n {
		quietCPUs()
		before := looked
		w.spin(func() bool {
			looked = before + 1
			return false
		})
	}
	return looked
}

// A waiter whose spins are in vain soon sleeps at once, and never gives up
// trying for good.
func TestSpinBacksOff(t *testing.T) {
	w := new(waiter)
	if n := spins(w, 200); n > 10 {
		t.Errorf("%d of the first 200 waits in vain spun, want at most 10", n)
	}
	const rounds = 10
	if n := spins(w, rounds*(maxSkips+1)); n < rounds || n > rounds+1 {
		t.Errorf("%d of %d further ones, want one in %d", n, rounds*(maxSkips+1), maxSkips+1)
	}
}

// One spin that was not in vain is enough to spin every time again.
func TestSpinReturns(t *testing.T) {
	w := new(waiter)
	spins(w, 200)
	for range maxSkips + 1 {
		quietCPUs()
		if w.spin(func() bool { return true }) {
			break
		}
	}
	if n := spins(w, 1); n != 1 {
		t.Error("a waiter does not spin after it has been successful")
	}
}

// The first wait of a direction does not spin, the next one does.
func TestFirstWaitSleeps(t *testing.T) {
	w := new(waiter)
	if n := spins(w, 1); n != 0 {
		t.Error("the first wait spins")
	}
	if n := spins(w, 1); n != 1 {
		t.Error("the second wait does not spin")
	}
}

// Being preempted is no reason to stop if the spins have saved more time.
func TestPreemptedIsWorthIt(t *testing.T) {
	quietCPUs()
	defer quietCPUs()
	w := used()
	const saves = 100
	for range saves {
		w.spin(func() bool { return true })
	}
	preempted(now(), (saves-1)*int64(wakeTime))
	if cpus.noSpins.until.Load() != 0 {
		t.Error("spinning stops though it has saved more than was lost")
	}
	preempted(now(), (saves-1)*int64(wakeTime))
	if cpus.noSpins.until.Load() == 0 {
		t.Error("spinning goes on by what it has saved before")
	}
}

// often repeats f, which preemptions can disturb, until it has succeeded.
func often(t *testing.T, f func() bool) {
	t.Helper()
	defer quietCPUs()
	for end := time.Now().Add(10 * time.Second); ; {
		quietCPUs()
		if f() {
			return
		}
		if time.Now().After(end) {
			t.Fatal("not once in 10 seconds")
		}
	}
}

// Several connections that wait in turn do not spin, and look only as often as
// they let others run, goroutines or threads.
func TestManyDoNotSpin(t *testing.T) {
	limit := max(1, runtime.GOMAXPROCS(0)/2)
	// spin has waiters wait in turn, and returns how many of them looked more
	// often than that in the end.
	spin := func(n int) (won int) {
		waiters := make([]waiter, n)
		for range 10 {
			won = 0
			for i := range waiters {
				looks := 0
				if waiters[i].spin(func() bool { looks++; return looks > 2*crowdYields }) {
					won++
				}
			}
		}
		return won
	}
	for n := 1; n <= limit; n++ {
		often(t, func() bool { return spin(n) == n })
	}
	quietCPUs()
	defer quietCPUs()
	if won := spin(limit + 1); won > 0 {
		t.Errorf("%d of %d waiters in turn spin, where %d may", won, limit+1, limit)
	}
}

// Where there is one CPU nobody spins.
func TestOneCPU(t *testing.T) {
	quietCPUs()
	defer quietCPUs()
	cpus.one = true
	w := used()
	looks := 0
	if w.spin(func() bool { looks++; return looks > 2*crowdYields }) {
		t.Error("a waiter spins on the only CPU")
	}
}

// Who waits in turn with others lets other threads run.
func TestCrowdLends(t *testing.T) {
	defer func() { yieldThread = schedYield }()
	often(t, func() bool {
		came := false
		yieldThread = func() { came = true }
		w := used()
		w.crowd = 1
		return w.spin(func() bool { return came })
	})
}

// Lending the CPU to others goes on as long as enough comes of it, and what has
// come of it before does not count for ever.
func TestLent(t *testing.T) {
	quietCPUs()
	defer quietCPUs()
	stops := func(took time.Duration, ready bool) bool {
		lent(int64(took), ready)
		stops := cpus.noLoans.until.Load() != 0
		if cpus.noSpins.until.Load() != 0 != stops {
			t.Error("spinning and lending do not stop together")
		}
		cpus.noLoans.until.Store(0)
		cpus.noSpins.until.Store(0)
		return stops
	}
	for range 1000 {
		if stops(wellLent, true) {
			t.Fatal("stops though each loan ends a wait")
		}
	}
	if stops(maxLent, false) {
		t.Error("stops by one loan in vain")
	}
	if !stops(1, false) {
		t.Error("goes on though nothing has come of it")
	}
	if stops(maxLent, false) {
		t.Error("remembers loans that it has stopped for")
	}
	for range 1000 {
		stops(0, true)
	}
	if stops(maxLent+maxSaved, false) {
		t.Error("forgets good loans")
	}
	if !stops(1, false) {
		t.Error("remembers good loans for ever")
	}
}

// In a respite, those who wait in turn let goroutines run but lend no CPU: they
// look once.
func TestBusyDoNotLend(t *testing.T) {
	often(t, func() bool {
		cpus.noLoans.until.Store(math.MaxInt64)
		w := used()
		w.crowd = 1
		looks := 0
		if w.spin(func() bool { looks++; return false }) {
			t.Fatal("a wait ends though nothing has come")
		}
		return looks == 1 // unless other goroutines were at work
	})
}

// Those who wait in turn and only let each other run soon sleep.
func TestCrowdAlone(t *testing.T) {
	quietCPUs()
	defer quietCPUs()
	const n = 64
	var looks atomic.Int64
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			// Each look takes as long as if there were work.
			new(waiter).yield(func() bool {
				looks.Add(1)
				for start := now(); now()-start < int64(yieldTook); {
				}
				return false
			})
		})
	}
	all.Wait()
	if l := looks.Load(); l > n*(crowdAlone+2) {
		t.Errorf("%d looks of %d waiters, want %d each", l, n, crowdAlone)
	}
}

// A deadline ends spinning and yielding as it ends sleeping.
func TestSpinDeadline(t *testing.T) {
	quietCPUs()
	defer quietCPUs()
	w := used()
	w.deadline.set(time.Now())
	looks := 0
	// One more if the spinner is preempted meanwhile.
	if w.spin(func() bool { looks++; return false }) || looks > pollLooks+1 {
		t.Errorf("%d looks after the deadline, want at most %d", looks, pollLooks)
	}
	if w.yield(func() bool { return true }) {
		t.Error("others are let run after the deadline")
	}
}

// After a spinner was preempted nobody spins for a while, which grows as long
// as it keeps happening and not beyond its bound.
func TestPreemptedStopsSpinning(t *testing.T) {
	quietCPUs()
	defer quietCPUs()
	at, last := now(), int64(0)
	for range 10 {
		preempted(at, 1)
		pause := cpus.noSpins.until.Load() - at
		if pause < last || pause < int64(minRespite) || pause > int64(maxRespite) {
			t.Fatalf("no spinning for %d ns after %d ns, want between %d and %d", pause, last, minRespite, maxRespite)
		}
		at, last = cpus.noSpins.until.Load(), pause
	}
	if last != int64(maxRespite) {
		t.Errorf("the pause has grown to %d ns, want %d", last, maxRespite)
	}
	cpus.noSpins.until.Store(now() + int64(maxRespite))
	if used().spin(func() bool { return true }) {
		t.Error("a waiter spins while other processes need the CPUs")
	}
	preempted(at+2*int64(maxRespite), 1)
	if pause := cpus.noSpins.length.Load(); pause != int64(minRespite) {
		t.Errorf("after a quiet time the pause is %d ns, want %d", pause, minRespite)
	}
}

// A waiter without a budget never looks.
func TestNoSpinBudget(t *testing.T) {
	if n := spins(&waiter{budget: -1, waits: 1}, 200); n != 0 {
		t.Errorf("%d of 200 waits spun, want none", n)
	}
}

// A longer budget than the default one is used. An attempt that is preempted
// says nothing.
func TestLongSpinBudget(t *testing.T) {
	defer quietCPUs()
	late := func(budget time.Duration) bool {
		w := used()
		w.budget = budget
		quietCPUs()
		start := now()
		return w.spin(func() bool { return now()-start > 3*int64(spinBudget) })
	}
	for end := time.Now().Add(10 * time.Second); !late(time.Second); {
		if time.Now().After(end) {
			t.Fatal("no spin lasted longer than the default budget")
		}
	}
}
