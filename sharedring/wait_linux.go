package sharedring

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A waiter parks a goroutine in the runtime's network poller until an eventfd
// has been signalled.
//
// The poller takes only descriptors in non-blocking mode, while an eventfd of
// the queue is in blocking mode: the crate's end reads it to wait. The mode
// belongs to the open file description, which the processes share, so that it
// can not be changed here, not even on a duplicate. Instead the eventfd is put
// into an epoll instance of our own, and that, which nobody else has and which
// becomes readable when what it holds does, is given to the poller.
//
// It gets the eventfd at the first wait, and listens to it only during waits.
// Otherwise each signal that finds this end awake would wake the runtime's poller
// for nothing, at the cost of the one who signals.
type waiter struct {
	event syscall.RawConn // of the end's file, open for as long as the waiter
	file  *os.File        // the epoll instance
	raw   syscall.RawConn
	added bool // the instance has the eventfd; guarded by the end's mu

	mu          sync.Mutex
	deadline    time.Time // as the user set it
	interrupted bool      // a context has ended: the file's deadline is in the past
}

func newWaiter(event *os.File) (_ *waiter, err error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	defer func() {
		if err != nil {
			unix.Close(epfd)
		}
	}()
	if err := unix.SetNonblock(epfd, true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(epfd), "sharedring poller")
	epfd = -1 // the file's from here on; closing -1 does nothing
	raw, err := file.SyscallConn()
	var eventRaw syscall.RawConn
	if err == nil {
		eventRaw, err = event.SyscallConn()
	}
	if err == nil {
		err = file.SetReadDeadline(time.Time{}) // fails if the poller has not taken it
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &waiter{event: eventRaw, file: file, raw: raw}, nil
}

// until calls ready until it returns true, first at once and then whenever the
// eventfd has been signalled. The error is that of ctx,
// [os.ErrDeadlineExceeded], in which case ready may not have been called, or
// [os.ErrClosed].
func (w *waiter) until(ctx context.Context, ready func() bool) error {
	if ready() {
		return nil
	}
	// A signal from before has left the eventfd readable, which listening
	// finds: level-triggered.
	if err := w.listen(unix.EPOLLIN); err != nil {
		return err
	}
	defer w.listen(0)
	if ctx.Done() != nil {
		interrupted := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			w.interrupt(true)
			close(interrupted)
		})
		defer func() {
			if !stop() {
				<-interrupted
				w.interrupt(false)
			}
		}()
	}
	err := w.raw.Read(func(uintptr) bool {
		// The signal is taken first. What it announced is in memory by
		// now, so ready sees it.
		w.drain()
		return ready()
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	default:
		return os.ErrClosed // package os has no sentinel for it in raw calls
	}
}

// listen sets what the epoll instance wants of the eventfd.
func (w *waiter) listen(events uint32) error {
	op := unix.EPOLL_CTL_MOD
	if !w.added {
		op = unix.EPOLL_CTL_ADD
	}
	err := os.ErrClosed
	w.raw.Control(func(epfd uintptr) {
		w.event.Control(func(fd uintptr) {
			err = os.NewSyscallError("epoll_ctl", unix.EpollCtl(int(epfd), op, int(fd), &unix.EpollEvent{Events: events}))
		})
	})
	w.added = w.added || err == nil
	return err
}

// drain takes the signals that have been given, without blocking whatever the
// mode of the eventfd: poll(2) and read(2) would let a hostile peer take the
// signal in between. RWF_NOWAIT needs Linux 5.8 (eventfd_read in fs/eventfd.c).
// Where it fails, the signals stay; each further one is an edge to the poller
// all the same.
func (w *waiter) drain() {
	w.event.Control(func(fd uintptr) {
		var count [8]byte
		unix.Preadv2(int(fd), [][]byte{count[:]}, -1, unix.RWF_NOWAIT)
	})
}

func (w *waiter) setDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = t
	if w.interrupted {
		return nil
	}
	return w.apply(t)
}

// interrupt ends the wait in progress, or makes the next one possible.
func (w *waiter) interrupt(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.interrupted = on
	if on {
		w.apply(time.Unix(1, 0))
	} else {
		w.apply(w.deadline)
	}
}

func (w *waiter) apply(t time.Time) error {
	if err := w.file.SetReadDeadline(t); err != nil {
		return os.ErrClosed
	}
	return nil
}

// close ends waits. The descriptor is released when the last has left.
func (w *waiter) close() error {
	if err := w.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// control runs do with the descriptor of f, which stays open meanwhile.
func control(f *os.File, do func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("%w file", err)
	}
	var doErr error
	if err := conn.Control(func(fd uintptr) { doErr = do(int(fd)) }); err != nil {
		return os.ErrClosed
	}
	return doErr
}
