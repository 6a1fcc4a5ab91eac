package shmconn

import (
	"time"

	"github.com/shmconn/shmconn/internal/doorbell"
)

// While each of Go's processors has goroutines that yield, the scheduler always
// has something to run, and looks for those that sleep on a descriptor every 10 ms
// only (findRunnable and sysmon in runtime/proc.go). So those who yield look for
// them, now and then: a reader in a crowd dozes, which is to sleep in a way that
// they can end. With 16 HTTP callers the 99th and 99.9th percentiles are 3.9 and
// 7.5 ms with that, 11 and 21 without, over a unix socket 3.8 and 6.1 (medians of
// 13 runs in turns of go run ./bench -run '^http/64B/16$' -rounds 3).
//
// No wake-up depends on it. A doze is a sleep on the bell, and a reader who is
// roused looks whether there is something to do, and dozes on if not.

// lookEvery is how often the process looks, if anybody yields. With 5, 20, 400 and
// 1500 us all is the same, as others have the CPU for longer. With 3 ms those 16
// callers have a few percent more done, but the 99th percentile is 4.4 ms, not 3.9.
const lookEvery = 100 * time.Microsecond

// maxRousings is how often in one doze a reader may be roused before there is
// something to do: by the first look, by rings for a writer, and by a peer who
// rings for nothing, who would have it run every lookEvery otherwise. After that
// it waits for the runtime's poller, as without dozing.
const maxRousings = 4

// look wakes dozing readers whose bells have rung. It is called often, with the
// time, and mostly does nothing.
func look(t int64) {
	if cpus.dozers.Load() == 0 {
		return
	}
	last := cpus.looked.Load()
	if t-last >= int64(lookEvery) && cpus.looked.CompareAndSwap(last, t) {
		doorbell.Look()
		cpus.looked.Store(now()) // a look at many that have rung takes as long as lookEvery
	}
}

// doze is sleepReader for a reader that those who yield may wake.
func (c *Conn) doze() error {
	if !c.in.observed {
		c.in.observed = true
		// If it fails, as when there are no more descriptors, a reader just sleeps.
		c.bell.Observe(c.rouse)
	}
	for range maxRousings {
		c.beginDoze()
		err := c.sleepReader()
		if !c.endDoze() {
			return err
		}
		if c.dataPending() { // or its end
			c.in.sleep(false)
			return nil
		}
	}
	return c.sleepReader()
}

func (c *Conn) beginDoze() {
	cpus.dozers.Add(1)
	c.dl.Lock()
	defer c.dl.Unlock()
	c.dozing = true
}

// rouse ends a doze, by the bell's deadline.
func (c *Conn) rouse() {
	c.dl.Lock()
	defer c.dl.Unlock()
	if c.dozing && !c.roused {
		c.roused = true
		c.bell.SetReadDeadline(longAgo)
	}
}

// endDoze reports whether rouse has ended the doze, and sets the bell's deadline
// then. That takes an interruption's deadline off as well, which does no harm, as
// the reader looks at the status before it sleeps again.
func (c *Conn) endDoze() (roused bool) {
	cpus.dozers.Add(-1)
	c.dl.Lock()
	defer c.dl.Unlock()
	roused = c.roused
	c.dozing, c.roused = false, false
	if roused {
		c.bell.SetReadDeadline(c.in.wait.deadline.time())
	}
	return roused
}
