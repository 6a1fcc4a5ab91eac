package listener

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// longAgo is a deadline that has passed on any clock.
var longAgo = time.Unix(1, 0)

var (
	errNoConn   = errors.New("listener: upgrade returned neither a connection nor an error")
	errNoReturn = errors.New("listener: upgrade did not return")
)

// evictionGrace is the age at which an upgrade may be evicted.
//
// Without a minimum a burst of more than max clients would evict itself: the
// accept loop takes connections out of the backlog faster than their
// goroutines get to run, on one CPU before any of them has run at all. In
// proportion to max, it bounds the rate of evictions and not the number: n
// silent clients are passed in n * 50 us. 20,000 per second is more than two
// CPUs complete handshakes, and keeps an honest client behind 1000 silent ones
// well below 100 ms.
func evictionGrace(max int) time.Duration {
	const perPlace = 50 * time.Microsecond
	return min(time.Duration(max), time.Second/perPlace) * perPlace
}

// A handshake is one upgrade in progress.
type handshake struct {
	c     net.Conn // as accepted
	start time.Time
	ctx   context.Context
	// end ends ctx; stopTimer releases the timer in it.
	end       context.CancelCauseFunc
	stopTimer context.CancelFunc

	place *list.Element // in pending, nil once it has given its place up; guarded by Listener.mu
}

// loop accepts from the inner listener until that is closed.
func (l *Listener) loop() {
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.looped = true
		l.ended()
	}()
	for l.awaitPlace() {
		c, err := l.inner.Accept()
		if err == nil {
			if !l.admit(c) {
				c.Close()
				return
			}
			continue
		}
		if l.closed() || l.isDraining() {
			return
		}
		if errors.Is(err, net.ErrClosed) {
			l.shutdown()
			return
		}
		// Not before a caller has this error is the next Accept tried: it
		// would most likely fail as well, and the caller knows how long to
		// wait.
		select {
		case l.errs <- err:
		case <-l.draining:
			return
		case <-l.base.Done():
			return
		}
	}
}

// awaitPlace blocks while nothing could be admitted, however old the upgrades
// in progress were, so that connections stay in the kernel's backlog. It
// reports false when the listener is closed or draining.
func (l *Listener) awaitPlace() bool {
	for {
		l.mu.Lock()
		ok := l.leaving < l.max && l.nready < l.max
		l.mu.Unlock()
		if l.closed() || l.isDraining() {
			return false
		}
		if ok {
			return true
		}
		select {
		case <-l.wake:
		case <-l.draining:
		case <-l.base.Done():
		}
	}
}

// admit starts the upgrade of c, when there is a place for it. It reports
// false when the listener is closed.
func (l *Listener) admit(c net.Conn) bool {
	for {
		ok, retry := l.tryAdmit(c)
		if ok {
			return true
		}
		var timeout <-chan time.Time
		if retry > 0 {
			timeout = time.After(retry)
		}
		select {
		case <-l.wake:
		case <-timeout:
		case <-l.base.Done():
			return false
		}
	}
}

// tryAdmit starts the upgrade of c in a free place, or in that of the oldest
// upgrade in progress. If that one is still too young, retry is the time that
// it lacks.
func (l *Listener) tryAdmit(c net.Conn) (ok bool, retry time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed() || l.leaving >= l.max {
		return false, 0
	}
	now := time.Now()
	if l.pending.Len()+l.nready >= l.max {
		oldest := l.pending.Front()
		if oldest == nil {
			return false, 0
		}
		h := oldest.Value.(*handshake)
		if young := l.grace - now.Sub(h.start); young > 0 {
			return false, young
		}
		l.vacate(h)
		l.stats.Evicted++
		h.end(ErrEvicted)
	}
	h := &handshake{c: c, start: now}
	timed, stopTimer := context.WithDeadline(l.base, now.Add(l.timeout))
	h.ctx, h.end = context.WithCancelCause(timed)
	h.stopTimer = stopTimer
	h.place = l.pending.PushBack(h)
	l.stats.Accepted++
	go l.serve(h)
	return true, 0
}

// vacate takes h's place away, called with mu held. From here on h counts as
// leaving, until left.
func (l *Listener) vacate(h *handshake) {
	l.pending.Remove(h.place)
	h.place = nil
	l.leaving++
}

// serve is the goroutine of h: it upgrades the connection and keeps it until
// an Accept call takes it.
func (l *Listener) serve(h *handshake) {
	returned := false
	defer func() {
		if returned {
			return
		}
		// The upgrade panicked, and the program is about to end, or it called
		// runtime.Goexit. OnError is not called: it might wait for a lock that
		// the panicking upgrade holds, and so keep the panic from being seen.
		l.settle(h, errNoReturn)
		h.c.Close()
		l.left()
	}()
	conn, err := h.run(l.upgrade)
	returned = true

	if err = l.settle(h, err); err != nil {
		defer l.left()
		if l.onError != nil {
			l.onError(h.c, err)
		}
		if conn != nil {
			conn.Close() // has taken h.c over
		} else {
			h.c.Close()
		}
		return
	}
	select {
	case l.ready <- conn:
	case <-l.base.Done():
		conn.Close()
	}
	l.mu.Lock()
	l.nready--
	l.ended()
	l.mu.Unlock()
	l.signal()
}

// run calls upgrade. If it returns a connection, that connection has taken h.c
// over, error or not.
func (h *handshake) run(upgrade Upgrade) (net.Conn, error) {
	fired := make(chan struct{})
	stop := context.AfterFunc(h.ctx, func() {
		defer close(fired)
		h.c.SetDeadline(longAgo)
	})
	defer h.stopTimer()
	defer stop()

	conn, err := upgrade(h.ctx, h.c)
	if err != nil {
		conn = nil
	} else if conn == nil {
		err = errNoConn
	}
	if !stop() {
		// The function above has run or is running. Wait, so that nothing
		// touches h.c after this.
		<-fired
	}
	// A context that has ended makes this a failure, whatever upgrade thinks:
	// the deadline may be on h.c, or have hit the upgrade on its way. Stop does
	// not tell: a context ends before it starts its functions, so that upgrade
	// can see the end, return, and still be in time to stop them.
	if cause := context.Cause(h.ctx); cause != nil {
		return conn, withCause(cause, err)
	}
	return conn, err
}

// settle decides, once, what became of h's upgrade. If it returns nil, h counts
// as ready; if it returns an error, h is leaving and the connection must be
// closed, though the upgrade may have succeeded: it came too late.
func (l *Listener) settle(h *handshake, err error) error {
	defer l.signal()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case h.place == nil:
		return withCause(ErrEvicted, err)
	case err == nil && l.closed():
		err = net.ErrClosed
		fallthrough
	case err != nil:
		l.vacate(h)
		l.stats.Failed++
		l.ended()
	default:
		l.pending.Remove(h.place)
		h.place = nil
		l.nready++
		l.stats.Upgraded++
	}
	return err
}

// left ends what vacate began: h's goroutine and connection are gone.
func (l *Listener) left() {
	l.mu.Lock()
	l.leaving--
	l.mu.Unlock()
	l.signal()
}

// signal makes the accept loop look at the places again. One token is
// enough, since the loop is the only receiver and looks after each.
func (l *Listener) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// withCause adds the reason for which an upgrade was cut short to the error
// that it returned, if any.
func withCause(cause, err error) error {
	switch {
	case err == nil:
		return cause
	case errors.Is(err, cause):
		return err
	default:
		return fmt.Errorf("%w: %w", cause, err)
	}
}
