package shmconn

import (
	"math"
	"net"
	"sync/atomic"
	"time"
)

var (
	epoch   = time.Now()
	longAgo = time.Unix(1, 0)
)

// now returns the nanoseconds since the process started, by the monotonic clock.
func now() int64 { return int64(time.Since(epoch)) }

// deadline is a direction's deadline for those who do not sleep: package net
// fails calls after the deadline even when there is something to read. Those
// who sleep are woken by the bell's deadline, which is set along with it, and
// for a while to the past to end a doze.
type deadline struct{ at atomic.Int64 } // nanoseconds since epoch, 0 for none

func (d *deadline) set(t time.Time) {
	if t.IsZero() {
		d.at.Store(0)
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.at.Store(-1)
		return
	}
	at := now() + int64(left)
	if at < 0 { // overflow
		at = math.MaxInt64
	}
	d.at.Store(at)
}

// time returns the deadline, the zero time for none.
func (d *deadline) time() time.Time {
	at := d.at.Load()
	if at == 0 {
		return time.Time{}
	}
	return epoch.Add(time.Duration(at))
}

func (d *deadline) passed() bool { return d.at.Load() != 0 && d.passedNow() }

// passedNow keeps the clock out of passed, which is inlined.
func (d *deadline) passedNow() bool { return d.passedAt(now()) }

// passedAt is passed for those who have just looked at the clock.
func (d *deadline) passedAt(t int64) bool {
	at := d.at.Load()
	return at != 0 && t >= at
}

// SetDeadline sets the read and write deadlines, as those two methods do.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadlines(t, true, true) }

// SetReadDeadline sets the deadline of blocked and future Reads. The zero time
// means none. A Read that exceeds it fails with an error wrapping
// os.ErrDeadlineExceeded, and the connection stays usable.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, true, false) }

// SetWriteDeadline is SetReadDeadline for Writes. Part of the data may have
// been sent when it is exceeded.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, false, true) }

func (c *Conn) setDeadlines(t time.Time, read, write bool) (err error) {
	c.dl.Lock()
	defer c.dl.Unlock()
	status := c.status.Load()
	if status&stClosed != 0 {
		return c.opError("set", net.ErrClosed)
	}
	if read {
		c.in.wait.deadline.set(t)
		if status&endsReading == 0 && !c.roused { // or endDoze sets it
			err = c.bell.SetReadDeadline(t)
		}
	}
	if write && err == nil {
		c.out.wait.deadline.set(t)
		if status&endsWriting == 0 {
			err = c.bell.SetWriteDeadline(t)
		}
	}
	return c.opError("set", err)
}
