package doorbell

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// guardDelay is how often a Guard looks: a write that it sees twice has taken
// far longer than any takes, even on a busy machine, and has not held up Close
// and deadlines noticeably.
const guardDelay = 100 * time.Millisecond

// A Guard keeps write(2) to an eventfd that a peer shares from blocking for
// long, which it does, should the peer have cleared O_NONBLOCK, while the
// counter is full. Only the peer can have filled it. To ask whether there is
// room beforehand would be a second system call, and a race.
//
// The guard is a timer that runs while there are writes and stops when there
// were none for a while. To set it for each write would cost more than the
// write: the runtime wakes a thread to look at a timer that has become the
// next.
type Guard struct {
	control func(func(fd uintptr)) // runs a function with the eventfd, if it is still open

	timer   *time.Timer
	turns   atomic.Uint64 // odd during a write
	armed   atomic.Bool   // the timer runs
	blocked atomic.Bool   // a write has been freed

	mu     sync.Mutex // keeps look and Close apart; guards what follows
	seen   uint64     // turns, when the guard last looked
	closed bool
}

// NewGuard returns a guard for the eventfd that control lends.
func NewGuard(control func(func(fd uintptr))) *Guard {
	g := &Guard{control: control}
	g.timer = time.AfterFunc(time.Hour, g.look)
	g.timer.Stop()
	return g
}

// Begin is called before a write, by one goroutine at a time.
func (g *Guard) Begin() {
	// turns before armed here, and armed before turns where the timer stops:
	// one of the two sees the other.
	g.turns.Add(1)
	if !g.armed.Load() {
		g.armed.Store(true)
		g.timer.Reset(guardDelay)
	}
}

// End is called after the write and reports whether this or an earlier one had
// to be freed.
func (g *Guard) End() (blocked bool) {
	g.turns.Add(1)
	return g.blocked.Load()
}

// Close ends the use of the eventfd. No write is in progress or follows.
func (g *Guard) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	g.timer.Stop()
}

// look frees a write that lasts since the last look.
func (g *Guard) look() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	turns := g.turns.Load()
	switch {
	case turns != g.seen:
		g.seen = turns
		g.timer.Reset(guardDelay)
	case turns%2 == 1:
		g.timer.Reset(g.free())
	default:
		g.armed.Store(false)
		if g.turns.Load() != turns {
			g.armed.Store(true)
			g.timer.Reset(guardDelay)
		}
	}
}

// free empties the counter if that is what a write waits for, and returns when
// to look again.
func (g *Guard) free() time.Duration {
	again := guardDelay
	g.control(func(fd uintptr) {
		// A write also takes long in a process that was stopped or starved.
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if _, err := unix.Poll(fds, 0); err != nil || fds[0].Revents&unix.POLLOUT != 0 {
			return
		}
		g.blocked.Store(true)
		again = time.Millisecond
		// RWF_NOWAIT keeps the read itself from blocking should the counter be
		// empty by now, whatever O_NONBLOCK says (Linux 5.8 and later,
		// eventfd_read in fs/eventfd.c).
		var count [8]byte
		unix.Preadv2(int(fd), [][]byte{count[:]}, -1, unix.RWF_NOWAIT)
	})
	return again
}
