package sharedring

import (
	"fmt"
	"sync/atomic"

	"github.com/shmconn/shmconn/internal/race"
)

// queue is one end's view of the ring. The only word that is shared is the
// number of items, which the sender raises and the receiver lowers, both by
// atomic addition; no other word passes between them.
//
//	sender                              receiver
//	1. load count: length-count free    1. load count: count items
//	2. write n items from its index     2. read n items from its index
//	3. add n; c was the count before    3. subtract n; c was the count before
//	4. if c was 0: empty signal         4. if c was length: full signal
//
// The addition hands the n items to the receiver, whose load or subtraction
// that sees it takes them; the subtraction hands n places back likewise.
//
// No wake-up is lost. A receiver goes to sleep after it has seen 0. Nobody but
// the sender changes a count of 0, and whoever changes it gets 0 back and
// signals; the eventfd keeps the signal until the receiver comes for it. The
// receiver takes the signal before it looks at the count again, so a signal
// that it takes never announces items that it goes on to miss. The same holds
// for a sender that has seen length.
type queue struct {
	count  *atomic.Uintptr // shared; trusted only after a check
	length int             // items that fit
	index  int             // the next item of this end, private; below length
}

// load returns the number of items in the queue.
func (q *queue) load() (int, error) {
	c := q.count.Load()
	if c > uintptr(q.length) {
		return 0, q.corrupt(c)
	}
	race.Acquire()
	return int(c), nil
}

func (q *queue) corrupt(c uintptr) error {
	return fmt.Errorf("%w: count is %d, with room for %d", ErrCorrupt, c, q.length)
}

// free is load for the sender: how many places are free.
func (q *queue) free() (int, error) {
	c, err := q.load()
	return q.length - c, err
}

// sent publishes n items where free places have been found, n <= free.
func (q *queue) sent(n, free int) (Status, error) {
	if n == 0 {
		return Status{Remaining: free}, nil
	}
	race.Release()
	before := q.count.Add(uintptr(n)) - uintptr(n)
	// Since free was computed the receiver can only have taken items.
	if before > uintptr(q.length-free) {
		return Status{}, fmt.Errorf("%w: count went from %d to %d while sending", ErrCorrupt, q.length-free, before)
	}
	q.advance(n)
	return Status{Remaining: q.length - int(before) - n, Signalled: before == 0}, nil
}

// received returns the places of n items of those that have been found,
// n <= found.
func (q *queue) received(n, found int) (Status, error) {
	if n == 0 {
		return Status{Remaining: found}, nil
	}
	race.Release()
	before := q.count.Add(-uintptr(n)) + uintptr(n)
	// Since found was loaded the sender can only have added items.
	if before < uintptr(found) || before > uintptr(q.length) {
		return Status{}, fmt.Errorf("%w: count went from %d to %d while receiving", ErrCorrupt, found, before)
	}
	q.advance(n)
	return Status{Remaining: int(before) - n, Signalled: before == uintptr(q.length)}, nil
}

// advance moves the index on by n <= length.
func (q *queue) advance(n int) {
	if q.index += n; q.index >= q.length {
		q.index -= q.length
	}
}

// split divides n items from the index on at the end of the ring.
func (q *queue) split(n int) (first, second int) {
	first = min(n, q.length-q.index)
	return first, n - first
}
