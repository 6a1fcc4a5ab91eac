package sharedring

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
)

// end is what a sender and a receiver have in common.
//
// mu is held by every operation from its first access to the memory to its
// last, also while it waits; Close ends waits first and unmaps under mu, so
// that nothing touches the memory after it is gone.
type end struct {
	mu    sync.Mutex
	queue queue
	ring  []byte // the memory of the items, shared
	size  int    // bytes of one item
	err   error  // sticky; guarded by mu

	mem     []byte // the mapping; nil after Close; guarded by mu
	memfd   *os.File
	empty   *os.File // signalled when the queue was empty
	full    *os.File // signalled when the queue was full
	wait    *waiter
	notify  notifier
	closed  atomic.Bool
	closing sync.Once
	closeBy error // result of the first Close
}

// notifier wakes the peer: a signaller, but for tests.
type notifier interface {
	signal() error
	close()
}

// newEnd makes a queue (files nil) or attaches to one. The end waits for one of
// the signals and gives the other.
func newEnd(op string, item reflect.Type, capacity int, files *[3]*os.File, sends bool, opts []Option) (_ *end, err error) {
	defer func() { err = opError(op, err) }()
	if err := checkItem(item); err != nil {
		return nil, err
	}
	size, ok := memorySize(capacity, int(item.Size()), os.Getpagesize())
	if !ok {
		return nil, fmt.Errorf("capacity of %d items of %d bytes: %w", capacity, item.Size(), os.ErrInvalid)
	}
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	if o.hugeSize < 0 {
		return nil, fmt.Errorf("huge pages of %d bytes: %w", o.hugeSize, os.ErrInvalid)
	}
	e := &end{size: int(item.Size())}
	// What has been made so far is undone if anything fails.
	defer func() {
		if err != nil {
			e.release()
		}
	}()
	if files == nil {
		e.memfd, err = createMemory(item.String(), size, o)
		if err == nil {
			e.empty, err = createSignal("sharedring empty signal")
		}
		if err == nil {
			e.full, err = createSignal("sharedring full signal")
		}
	} else {
		e.memfd, e.empty, e.full, err = adopt(files, size, o)
	}
	if err != nil {
		return nil, err
	}
	if e.mem, err = mapMemory(e.memfd, size, o); err != nil {
		return nil, err
	}
	// The items are those of the size that the format computes, even where huge
	// pages make the mapping larger.
	mem := e.mem[:size:size]
	e.queue = queue{count: counter(mem), length: (size - headerSize) / e.size}
	e.ring = mem[headerSize:][:e.queue.length*e.size]
	if _, err := e.queue.load(); err != nil {
		return nil, err
	}
	in, out := e.empty, e.full
	if sends {
		in, out = e.full, e.empty
	}
	notify, err := newSignaller(out)
	if err != nil {
		return nil, err
	}
	e.notify = notify
	if e.wait, err = newWaiter(in); err != nil {
		return nil, err
	}
	return e, nil
}

// release gives back what the end holds.
func (e *end) release() error {
	var errs []error
	if e.wait != nil {
		errs = append(errs, e.wait.close())
	}
	if e.notify != nil {
		e.notify.close()
	}
	for _, f := range []*os.File{e.memfd, e.empty, e.full} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	if e.mem != nil {
		errs = append(errs, unmapMemory(e.mem))
		e.mem, e.ring = nil, nil
	}
	return errors.Join(errs...)
}

func (e *end) close() error {
	e.closing.Do(func() {
		e.closed.Store(true)
		// Whoever waits holds mu and leaves now.
		err := e.wait.close()
		e.mu.Lock()
		defer e.mu.Unlock()
		e.closeBy = opError("close", errors.Join(err, e.release()))
	})
	return e.closeBy
}

// usable is asked, under mu, before the memory is touched.
func (e *end) usable() error {
	if e.closed.Load() {
		return os.ErrClosed
	}
	return e.err
}

// look loads the count by way of f, one of queue's methods, if the end is
// usable. mu is held.
func (e *end) look(f func() (int, error)) (int, error) {
	if err := e.usable(); err != nil {
		return 0, err
	}
	n, err := f()
	if err != nil {
		return 0, e.fail(err)
	}
	return n, nil
}

// available is look for those who do not hold mu.
func (e *end) available(f func() (int, error)) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.look(f)
}

// ready waits until f, one of queue's methods, returns more than 0.
func (e *end) ready(ctx context.Context, f func() (int, error)) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.usable(); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return e.await(ctx, f)
}

// fail makes err stick.
func (e *end) fail(err error) error {
	if e.err == nil {
		e.err = err
	}
	return err
}

// settle ends an operation that has moved items: it wakes the peer if need be
// and makes errors stick.
func (e *end) settle(st Status, err error) (Status, error) {
	if err == nil && st.Signalled {
		err = e.notify.signal()
	}
	if err != nil {
		return st, e.fail(err)
	}
	return st, nil
}

// piece returns the memory of items [from:to).
func (e *end) piece(from, to int) []byte {
	return e.ring[from*e.size : to*e.size : to*e.size]
}

// await waits until look, which loads the count, returns a number other than 0.
func (e *end) await(ctx context.Context, look func() (int, error)) (n int, err error) {
	var lookErr error
	err = e.wait.until(ctx, func() bool {
		n, lookErr = look()
		return n > 0 || lookErr != nil
	})
	if e.closed.Load() {
		return 0, os.ErrClosed
	}
	if lookErr != nil {
		return 0, e.fail(lookErr)
	}
	if n > 0 {
		return n, nil // there is something, whatever else has happened
	}
	return 0, err
}

func (e *end) setDeadline(t time.Time) error {
	if e.closed.Load() {
		return opError("set deadline", os.ErrClosed)
	}
	return opError("set deadline", e.wait.setDeadline(t))
}
