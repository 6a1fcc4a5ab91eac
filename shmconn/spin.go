package shmconn

import (
	"cmp"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/shmconn/shmconn/internal/pause"
)

// Waiting decides the speed of a connection: the ring itself takes 0.1 us,
// waking an idle CPU of a virtual machine 20 us and more. A waiter therefore
// spins before it sleeps, but only while that pays:
//
//   - Spinning pays in both directions or in neither. While one side sleeps,
//     the other sees slow answers however fast they could be. So the budget is
//     longer than a wake-up takes, and a waiter that has given up tries again
//     from time to time, without having observed anything that speaks for it:
//     a policy that learns from observed waits alone stays in the slow state.
//   - A spin that was in vain costs its whole budget of CPU time. After each,
//     the next tries are further apart.
//   - A spinner must not take a CPU from those who have work: not from this
//     process's goroutines (Gosched takes long), nor from other processes (the
//     clock jumps, as we were preempted), nor from the peer, for whom the
//     spinners of this process leave half of the CPUs, if there is more than one.
//   - A direction's first wait is most often for a peer that has yet to accept the
//     connection, which takes it many system calls and threads. So it does not
//     spin: to dial, echo and close takes 0.5 ms, with spinning 0.65, and 0.77 of
//     the CPU time.
//   - With several exchanges at the same time there is always something else to
//     do. Where others have waited between two waits of one connection, as many
//     as may spin, it only lets them and the peer run, and sleeps when that takes
//     no time (doze.go). HTTP with 16 callers on 2 CPUs was 1.7 times as fast as
//     over a unix socket with that, 1.5 times if only goroutines were let run, and
//     no faster with spinning. So it is on a machine with one CPU: a round trip of
//     64 B is 4.5 times as fast, with spinning 0.4 times, as over a unix socket.
const (
	// spinBudget is how long a waiter spins before it sleeps, unless it is told
	// otherwise. It must outlast the answer of a peer that was asleep: its
	// wake-up, those of the goroutines that it passes the request to, and their
	// work. With 20 us no side ever saw the other answer. Where wake-ups are
	// slow, HTTP with one caller is 1.2 times as fast as over a unix socket with
	// 70 us, 3.6 with 150, 4.4 with 250 and 6.3 with 400; but so much is the price
	// of each wait in vain.
	spinBudget = 250 * time.Microsecond

	// clockJump is the time between two looks at the clock that only a
	// preemption by somebody who needs the CPU for long explains: the kernel
	// gives it for a millisecond and more. With 70 us the hiccups of a virtual
	// machine, and this process's own other threads, were taken for that, and
	// HTTP with one caller was 2.8 times as fast as over a unix socket, not 6.7
	// (with a budget of 150 us, at another hour than the figures above).
	clockJump = 500 * time.Microsecond

	// maxSkips bounds how many waits in a row go without a spin.
	maxSkips = 32

	// yieldEvery is how often a spinner lets other goroutines run, and
	// yieldTook how long that may take if there are none. The first time is
	// after the first look or two: a goroutine that reads on has often just
	// woken the one that it has read for, which waits behind it for the same
	// processor (HTTP, one caller: 30 us without that, 18 us with it).
	yieldEvery = 10 * time.Microsecond
	yieldTook  = 3 * time.Microsecond

	// pollLooks is how often a spinner looks between two looks at the clock.
	pollLooks = 32

	// maxYields bounds how often others may take their time during one spin.
	maxYields = 4

	// crowdWaits is for how many waits it is remembered that other connections
	// were waiting in between.
	crowdWaits = 8

	// crowdYields bounds how often such a waiter lets others run. Of 8, 32, 128 and
	// 1000, 128 did best in runs that took turns: with fewer, more of those who
	// wait sleep, and each doorbell is a system call at either end.
	crowdYields = 128

	// crowdAlone is after how many yields in a row that took time, but in which
	// nobody in the process has begun to wait anew, a waiter sleeps. The time has
	// gone to others who yield, or to work that takes long.
	crowdAlone = 8

	// wellLent is how long others may have a thread's CPU for each wait in a crowd
	// that ends by it. With 16 HTTP callers one does for each 0.1 ms that the CPU is
	// lent, and for each 1 to 2.6 ms if other processes compete for both CPUs.
	// maxLent is how much more it may be, a few of the kernel's time slices, and
	// maxSaved how much less is remembered.
	wellLent = 200 * time.Microsecond
	maxLent  = 6 * time.Millisecond
	maxSaved = 20 * time.Millisecond

	// minRespite and maxRespite bound how long nobody in the process spins, or lends
	// its CPU, after other processes have used it, which costs some milliseconds.
	minRespite = 10 * time.Millisecond
	maxRespite = 320 * time.Millisecond

	// wakeTime is what a spin that was not in vain saves, roughly.
	wakeTime = 15 * time.Microsecond
)

// A waiter waits for one direction: it spins for a while, then sleeps on the
// bell. The parking protocol that it follows, and why no wake-up is lost, is
// described in package ring. It is used by one goroutine at a time, whoever
// holds the direction.
type waiter struct {
	ready    func(uintptr) bool // announces, then checks again; given to the bell
	budget   time.Duration      // how long it spins, 0 for spinBudget, negative for not at all
	failures uint               // spins in vain, in a row
	skips    int                // waits still to come without a spin
	waits    uint64             // of the whole process when the last wait began, 0 before the first
	crowd    int                // waits still to come before others are forgotten
	crowded  bool               // this wait is one of a crowd
	asleep   bool               // since the last announcement
	deadline deadline           // of the direction, set by anybody
}

// cpus is what the waiters of this process share.
var cpus = struct {
	one bool // there is just one

	spinners atomic.Int32
	waits    atomic.Uint64 // that have begun

	noSpins respite
	wins    atomic.Int64 // spins not in vain since a spinner was preempted

	dozers atomic.Int32 // readers who doze
	looked atomic.Int64 // when somebody last looked for them

	noLoans respite
	lent    atomic.Int64 // nanoseconds that others have had a crowd's CPUs for too long
}{one: runtime.NumCPU() == 1}

// yieldThread lets other threads run that wait for this one's CPU. It is a
// variable for tests.
var yieldThread = schedYield

// spin polls pending for a while and reports whether it has come true, after
// which pending is not called again.
func (w *waiter) spin(pending func() bool) bool {
	if w.budget < 0 {
		return false
	}
	procs := runtime.GOMAXPROCS(0)
	limit := max(1, procs/2)
	before, waits := w.waits, cpus.waits.Add(1)
	w.waits = waits
	if before == 0 {
		return false // the first
	}
	if waits-before > uint64(limit) {
		w.crowd = crowdWaits
	}
	w.crowded = w.crowd > 0
	w.crowd = max(w.crowd-1, 0)
	if w.skips > 0 {
		w.skips--
		return false
	}
	if w.crowded || cpus.one {
		return w.yield(pending)
	}
	start := now()
	if cpus.noSpins.lasts(start) {
		return false
	}
	defer cpus.spinners.Add(-1)
	if int(cpus.spinners.Add(1)) > limit {
		return false
	}
	if w.poll(pending, start, procs == 1) {
		w.failures = 0
		cpus.wins.Add(1)
		return true
	}
	w.failures = min(w.failures+1, 5)
	w.skips = maxSkips >> (5 - w.failures)
	return false
}

// yield lets others run as long as there are any, and reports whether pending
// has come true meanwhile: the goroutines of this process, and once these have
// nothing to do, whoever else waits for the CPU. Most likely that is the peer,
// about to do what is waited for. It then needs to wake nobody, and does much at
// a time.
func (w *waiter) yield(pending func() bool) bool {
	waits, alone := cpus.waits.Load(), 0
	for range crowdYields {
		start := now()
		if w.deadline.passedAt(start) {
			return false
		}
		look(start)
		runtime.Gosched()
		if pending() {
			return true
		}
		if now()-start >= int64(yieldTook) {
			if n := cpus.waits.Load(); n != waits {
				waits, alone = n, 0
			} else if alone++; alone == crowdAlone {
				return false
			}
			continue
		}
		took, ready := lend(pending)
		if took < int64(yieldTook) {
			return ready // nobody has anything to do
		}
		if lent(took, ready); ready {
			return true
		}
	}
	return false
}

// lend lets other threads run that wait for the CPU, unless that has cost too
// much lately, and returns how long they did, in nanoseconds, and whether pending
// has come true meanwhile.
//
// A thread that yields gets its CPU back once those who waited for it have used
// up their time slices, while one that sleeps gets it back soon after it is
// woken. That is well if it is the peer who uses the CPU, and costs milliseconds
// if it is other processes.
func lend(pending func() bool) (took int64, ready bool) {
	t := now()
	if cpus.noLoans.lasts(t) {
		return 0, false
	}
	yieldThread()
	took = now() - t
	return took, pending()
}

// lent keeps the account of what a crowd has lent. If little comes of it, its
// waiters sleep for a while, and nobody spins.
func lent(took int64, ready bool) {
	if ready {
		took -= int64(wellLent)
	}
	switch sum := cpus.lent.Add(took); {
	case sum > int64(maxLent):
		cpus.lent.Store(0)
		t := now()
		cpus.noLoans.begin(t)
		cpus.noSpins.begin(t)
	case sum < -int64(maxSaved):
		cpus.lent.Store(-int64(maxSaved))
	}
}

// poll is the spin loop.
func (w *waiter) poll(pending func() bool, start int64, crowded bool) bool {
	budget := int64(cmp.Or(w.budget, spinBudget))
	yields := 0
	yielded := start - int64(yieldEvery)
	for last := start; ; {
		for range pollLooks {
			if pending() {
				return true
			}
			pause.Spin(1)
		}
		t := now()
		if t-last > int64(clockJump) {
			preempted(t, t-last)
			return pending()
		}
		if t-start > budget || w.deadline.passedAt(t) {
			return false
		}
		last = t
		if crowded || t-yielded >= int64(yieldEvery) {
			runtime.Gosched()
			yielded = now()
			if took := yielded - t; took > int64(yieldTook) {
				// Others have used that time, and may want more.
				crowded = true
				start += took
				if yields++; yields > maxYields {
					return pending()
				}
			}
			last = yielded
		}
	}
}

// preempted decides what follows from a spinner's having been preempted for
// the given time, in nanoseconds. If the spins since the last time have saved
// more than that, nothing: so it is with quick exchanges, even on CPUs that are
// never idle.
func preempted(t, lost int64) {
	if cpus.wins.Swap(0)*int64(wakeTime) <= lost {
		cpus.noSpins.begin(t)
	}
}

// A respite is a time, by now(), in which nobody in the process does something that
// has cost too much.
type respite struct {
	until  atomic.Int64
	length atomic.Int64 // nanoseconds, of the last one
}

func (r *respite) lasts(t int64) bool { return t < r.until.Load() }

// begin begins a respite, unless one lasts, that is twice as long as the last one
// unless much time has passed since.
func (r *respite) begin(t int64) {
	if r.lasts(t) {
		return
	}
	length := int64(minRespite)
	if before := r.length.Load(); t-r.until.Load() < before {
		length = min(2*before, int64(maxRespite))
	}
	r.length.Store(length)
	r.until.Store(t + length)
}
