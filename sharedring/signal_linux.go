package sharedring

import (
	"encoding/binary"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/internal/doorbell"
)

// A signaller adds 1 to an eventfd. A [doorbell.Guard] sees to it that a peer
// who has filled the counter does not make that block for long.
type signaller struct {
	raw   syscall.RawConn
	write func(fd uintptr) // made once, so that a signal does not allocate
	err   error            // of write
	guard *doorbell.Guard
}

func newSignaller(event *os.File) (*signaller, error) {
	raw, err := event.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &signaller{raw: raw}
	s.write = func(fd uintptr) {
		for {
			if _, s.err = unix.Write(int(fd), one); s.err != unix.EINTR {
				return
			}
		}
	}
	s.guard = doorbell.NewGuard(func(f func(uintptr)) { raw.Control(f) })
	return s, nil
}

var one = binary.NativeEndian.AppendUint64(nil, 1)

// signal wakes the peer. It is called by one goroutine at a time.
func (s *signaller) signal() error {
	s.guard.Begin()
	if err := s.raw.Control(s.write); err != nil {
		s.err = os.ErrClosed
	}
	blocked := s.guard.End()
	switch {
	case blocked:
		return fmt.Errorf("%w: a signal blocked", ErrCorrupt)
	case s.err == nil:
		return nil
	case s.err == unix.EAGAIN:
		// Full and in non-blocking mode: the peer has not come for a
		// signal and finds it when it does.
		return nil
	}
	return os.NewSyscallError("write", s.err)
}

// close ends the use of the eventfd. No signal is in progress or follows.
func (s *signaller) close() { s.guard.Close() }
