package sharedring

import "context"

// The operations of a receiving end, on items as bytes.

// receive fills p with whole items, at least one, and returns how many.
func (e *end) receive(ctx context.Context, p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	for {
		n, _, err := e.tryReceive(p)
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		if _, err := e.await(ctx, e.queue.load); err != nil {
			return 0, err
		}
	}
}

// tryReceive receives what is there and fits into p. mu is held.
func (e *end) tryReceive(p []byte) (int, Status, error) {
	found, err := e.look(e.queue.load)
	if err != nil {
		return 0, Status{}, err
	}
	n := min(found, len(p)/e.size)
	first, second := e.queue.split(n)
	copyBytes(p, e.piece(e.queue.index, e.queue.index+first))
	copyBytes(p[first*e.size:], e.piece(0, second))
	st, err := e.settle(e.queue.received(n, found))
	return n, st, err
}

// receivePiece has f read the items up to the end of the ring.
func (e *end) receivePiece(f func([]byte) int) (Status, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	found, err := e.look(e.queue.load)
	if err != nil {
		return Status{}, err
	}
	n, err := e.call(f, found)
	if err != nil {
		return Status{Remaining: found}, err
	}
	return e.settle(e.queue.received(n, found))
}
