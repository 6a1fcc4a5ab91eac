package listener

import (
	"sync"
	"time"
)

// A deadline is a moment that can be moved while others wait for it.
type deadline struct {
	mu      sync.Mutex // guards what follows
	timer   *time.Timer
	gen     uint64        // number of calls of set, to tell a late timer from the current one
	expired chan struct{} // closed exactly while the deadline is in the past
	past    bool          // expired is closed
}

func (d *deadline) init() { d.expired = make(chan struct{}) }

// wait returns a channel that is closed when the deadline passes. While it
// is open it follows the deadline wherever that is moved.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.expired
}

// set moves the deadline; the zero time means none.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gen++
	if d.timer != nil {
		// A timer that has fired already finds another gen and does nothing.
		d.timer.Stop()
		d.timer = nil
	}
	left := time.Until(t)
	if !t.IsZero() && left <= 0 {
		d.expire()
		return
	}
	if d.past {
		d.expired = make(chan struct{})
		d.past = false
	}
	if t.IsZero() {
		return
	}
	gen := d.gen
	d.timer = time.AfterFunc(left, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.gen == gen {
			d.expire()
		}
	})
}

// expire is called with mu held.
func (d *deadline) expire() {
	if !d.past {
		close(d.expired)
		d.past = true
	}
}
