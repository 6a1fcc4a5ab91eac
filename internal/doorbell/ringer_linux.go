package doorbell

import "golang.org/x/sys/unix"

var nothing [8]byte // the value 0: wakes without moving the count

// A Ringer rings the doorbell that the peer waits on. Ring is called by one
// goroutine at a time; several Ringers may share a descriptor.
type Ringer struct {
	fd    int
	guard *Guard
}

// NewRinger returns a Ringer for the eventfd fd, which stays the caller's and
// must be open until Close has returned.
func NewRinger(fd int) *Ringer {
	return &Ringer{fd, NewGuard(func(f func(uintptr)) { f(uintptr(fd)) })}
}

// Ring wakes the peer. It takes one system call.
//
// The error is ErrBlocked if the call blocked and had to be freed by a [Guard],
// after 100 to 200 ms: the peer has cleared O_NONBLOCK and driven the counter
// to its maximum, which it can do by asynchronous I/O that completes into the
// eventfd. No such peer deserves another ring.
func (r *Ringer) Ring() error {
	r.guard.Begin()
	// unix.Write enters a system call in the scheduler's eyes, so that a
	// blocked one holds up this goroutine and a thread, never the process.
	_, err := unix.Write(r.fd, nothing[:])
	if r.guard.End() {
		return ErrBlocked
	}
	// EAGAIN: the counter is full and the descriptor non-blocking. Only the
	// peer can have filled it; a wake-up that it misses is its own.
	if err == unix.EAGAIN {
		return nil
	}
	return err
}

// Close ends the use of the descriptor. No Ring is in progress or follows.
func (r *Ringer) Close() { r.guard.Close() }
