package doorbell

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Create returns a new doorbell's descriptor, close-on-exec and non-blocking.
// The caller owns it.
func Create() (int, error) {
	fd, err := unix.Eventfd(1, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	return fd, os.NewSyscallError("eventfd2", err)
}

// Verify reports whether a descriptor that a peer has sent is an eventfd, with
// an error wrapping ErrNotDoorbell if not. Nothing else may be rung: a write
// to a pipe can block, one to a file changes it.
//
// It reads the name that the kernel gives the open file, because that touches
// no file system: fstat(2) or read(2) on a FUSE file can block for ever. The
// path of a real file begins with "/" or "(unreachable)", so none can pass.
func Verify(fd int) error {
	name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return fmt.Errorf("doorbell: identify descriptor: %w", err)
	}
	if name != "anon_inode:[eventfd]" {
		return fmt.Errorf("doorbell: %w: %.64q", ErrNotDoorbell, name)
	}
	return nil
}

// A Bell is the doorbell that this end waits on. All methods are safe for
// concurrent use; at most one goroutine is in WaitRead and one in WaitWrite.
type Bell struct {
	file *os.File
	raw  syscall.RawConn

	mu       sync.Mutex // keeps Observe and Close apart
	observed uint64     // the number in lookout, or 0
}

// Open makes fd the doorbell that this end waits on. It takes ownership of fd,
// also when it fails.
func Open(fd int) (*Bell, error) {
	// Only a non-blocking descriptor is registered with the poller. A peer
	// that shares the description may clear the flag right before NewFile
	// looks; then SetDeadline below fails.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(fd), "doorbell")
	if err := file.SetDeadline(time.Time{}); err != nil {
		file.Close()
		return nil, fmt.Errorf("doorbell: not pollable: %w", err)
	}
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &Bell{file: file, raw: raw}, nil
}

// WaitRead calls ready until it returns true, first at once and then whenever
// the bell may have rung. A ring after ready has begun is not lost: the poller
// remembers its edge. The error is os.ErrDeadlineExceeded, in which case ready
// may not have been called at all, or net.ErrClosed.
func (b *Bell) WaitRead(ready func(uintptr) bool) error {
	return waitError(b.raw.Read(ready))
}

// WaitWrite is WaitRead with a deadline of its own, for a second goroutine: an
// eventfd with a small count is always writable as well, so that the poller
// reports each edge for both.
func (b *Bell) WaitWrite(ready func(uintptr) bool) error {
	return waitError(b.raw.Write(ready))
}

// waitError gives the error of a closed file, for which package os has no
// sentinel in the raw calls, its name.
func waitError(err error) error {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return net.ErrClosed
}

// SetReadDeadline sets the deadline of WaitRead, also of one that is blocked.
// The zero time means none.
func (b *Bell) SetReadDeadline(t time.Time) error { return waitError(b.file.SetReadDeadline(t)) }

// SetWriteDeadline sets the deadline of WaitWrite.
func (b *Bell) SetWriteDeadline(t time.Time) error { return waitError(b.file.SetWriteDeadline(t)) }

// Close wakes all waiters with net.ErrClosed and releases the descriptor when
// the last has left.
func (b *Bell) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unobserve()
	b.file.Close()
}
