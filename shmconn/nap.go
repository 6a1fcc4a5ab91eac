package shmconn

import (
	"os"
	"time"
)

// While each of Go's processors has goroutines that yield, the scheduler always
// has something to run, and looks for those that sleep on a descriptor every 10 ms
// only (findRunnable and sysmon in runtime/proc.go). At timers it looks each time.
// So a reader in a crowd naps, by timers, before it sleeps. With 16 HTTP callers
// the 99.9th percentile is 6 ms with naps and 12 without, over a unix socket 5, and
// a request takes 0.9 times as long.
//
// In a process that has less to do naps are in vain, and each is a wake-up or two
// more: a server of 16 connections with a message every 20 ms would take 1.4 times
// the CPU time. So they have to be earned, by bells that were late. Those of any peer
// count, which can bring about naps for all or for none, and no more by it than
// this process's being slower.
const (
	minNap = 50 * time.Microsecond   // the first of a wait, each next is twice as long
	maxNap = 6400 * time.Microsecond // the last; together they outlast the 10 ms

	napEarns     = 16  // naps in vain that a late bell is worth
	maxSavedNaps = 512 // of the process
	napEvery     = 32  // without any saved, one wait of how many has naps
)

// nap sleeps for short times and reports whether there is something to do. If
// not, the reader has yet to sleep for as long as it takes. c.in.mu is held.
func (c *Conn) nap() (ready bool) {
	w := &c.in.wait
	if !w.crowded || cpus.savedNaps.Load() == 0 && w.waits%napEvery != 0 {
		return false
	}
	defer c.limitSleep(time.Time{})
	for d := minNap; d <= maxNap; d *= 2 {
		c.limitSleep(time.Now().Add(d))
		if c.sleepReader() != os.ErrDeadlineExceeded {
			return true
		}
		// A change by somebody else can get lost in either of the two, which does
		// no harm.
		saved := cpus.savedNaps.Load()
		if c.dataPending() {
			if w.asleep && c.status.Load()&endsReading == 0 {
				cpus.savedNaps.Store(min(saved+napEarns, maxSavedNaps))
			}
			return true
		}
		if w.deadline.passed() {
			return false // the sleep reports it
		}
		cpus.savedNaps.Store(max(saved-1, 0))
	}
	return false
}

// limitSleep has the reader's next sleep end at the given time or its deadline,
// whichever is earlier; the zero time is no limit. After an interruption it
// changes nothing.
func (c *Conn) limitSleep(end time.Time) {
	c.dl.Lock() // or it could undo a deadline that is set meanwhile
	defer c.dl.Unlock()
	if c.status.Load()&endsReading != 0 {
		return
	}
	if at := c.in.wait.deadline.time(); end.IsZero() || !at.IsZero() && at.Before(end) {
		end = at
	}
	c.bell.SetReadDeadline(end)
}
