package doorbell

import (
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A watchtower is an epoll instance beside that of the runtime, for those who
// have the time to look while the runtime has not. It exists while it has bells.
type watchtower struct {
	mu    sync.Mutex // guards all below; a Bell's own is locked first
	epoll int
	bells map[uint64]func()
	last  uint64 // the number of the last one
}

var lookout watchtower

// Observe has [Look] call rung when the bell has rung, and the first time in any
// case, until the bell is closed or a little longer. It is called once for each
// bell. The error is net.ErrClosed, or that of epoll_create1(2) or epoll_ctl(2);
// WaitRead and WaitWrite work as before in any case.
func (b *Bell) Observe(rung func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &lookout
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.bells) == 0 {
		fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
		if err != nil {
			return os.NewSyscallError("epoll_create1", err)
		}
		l.epoll, l.bells = fd, make(map[uint64]func())
	}
	id := l.last + 1
	err := b.enlist(unix.EPOLL_CTL_ADD, &unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLET,
		Fd:     int32(uint32(id)),
		Pad:    int32(uint32(id >> 32)),
	})
	if err != nil {
		l.closeUnused()
		return err
	}
	l.last, b.observed, l.bells[id] = id, id, rung
	return nil
}

// unobserve undoes Observe. To close the descriptor would not be enough: the
// eventfd leaves the epoll instance only when nobody has it open, and the peer
// has. b.mu is held.
func (b *Bell) unobserve() {
	if b.observed == 0 {
		return
	}
	lookout.mu.Lock()
	defer lookout.mu.Unlock()
	b.enlist(unix.EPOLL_CTL_DEL, nil)
	delete(lookout.bells, b.observed)
	b.observed = 0
	lookout.closeUnused()
}

// enlist applies one epoll_ctl operation to the bell. lookout.mu is held.
func (b *Bell) enlist(op int, ev *unix.EpollEvent) (err error) {
	if closed := b.raw.Control(func(fd uintptr) {
		err = os.NewSyscallError("epoll_ctl", unix.EpollCtl(lookout.epoll, op, int(fd), ev))
	}); closed != nil {
		return net.ErrClosed
	}
	return err
}

// closeUnused closes the epoll instance if it has no bells. l.mu is held.
func (l *watchtower) closeUnused() {
	if len(l.bells) == 0 {
		unix.Close(l.epoll)
	}
}

// Look calls the functions of observed bells that have rung since the last
// look, one after the other; of many at once, some at the next look. It waits for
// nothing but them. While somebody else looks it does nothing.
func Look() {
	var rung [64]func()
	for _, f := range rung[:lookout.look(rung[:])] {
		f()
	}
}

// look stores the functions of bells that have rung, and returns how many.
func (l *watchtower) look(rung []func()) int {
	if !l.mu.TryLock() {
		return 0
	}
	defer l.mu.Unlock()
	if len(l.bells) == 0 {
		return 0
	}
	var events [64]unix.EpollEvent
	n, err := unix.EpollWait(l.epoll, events[:len(rung)], 0)
	if err != nil {
		return 0
	}
	for i, ev := range events[:n] {
		// A bell that was taken out has no more events.
		rung[i] = l.bells[uint64(uint32(ev.Fd))|uint64(uint32(ev.Pad))<<32]
	}
	return n
}
