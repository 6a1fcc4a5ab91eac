package sharedring

import (
	"context"
	"fmt"
	"os"
)

// The operations of a sending end, on items as bytes.

// send sends all of p, whole items, and returns how many items it has sent.
func (e *end) send(ctx context.Context, p []byte) (sent int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	for {
		n, _, err := e.trySend(p[sent*e.size:])
		sent += n
		if err != nil || sent*e.size == len(p) {
			return sent, err
		}
		// trySend stops early only at a full queue, which alone is followed
		// by a signal.
		if _, err := e.await(ctx, e.queue.free); err != nil {
			return sent, err
		}
	}
}

// trySend sends what fits of p. mu is held.
func (e *end) trySend(p []byte) (int, Status, error) {
	free, err := e.look(e.queue.free)
	if err != nil {
		return 0, Status{}, err
	}
	n := min(free, len(p)/e.size)
	first, second := e.queue.split(n)
	copyBytes(e.piece(e.queue.index, e.queue.index+first), p)
	copyBytes(e.piece(0, second), p[first*e.size:])
	st, err := e.settle(e.queue.sent(n, free))
	return n, st, err
}

// sendPiece has f fill the free memory up to the end of the ring.
func (e *end) sendPiece(f func([]byte) int) (Status, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	free, err := e.look(e.queue.free)
	if err != nil {
		return Status{}, err
	}
	n, err := e.call(f, free)
	if err != nil {
		return Status{Remaining: free}, err
	}
	return e.settle(e.queue.sent(n, free))
}

// call calls f with the contiguous part of n items from the index on, if that
// is not empty, and checks what it returns.
func (e *end) call(f func([]byte) int, n int) (int, error) {
	first, _ := e.queue.split(n)
	if first == 0 {
		return 0, nil
	}
	used := f(e.piece(e.queue.index, e.queue.index+first))
	if used < 0 || used > first {
		return 0, fmt.Errorf("callback returned %d of %d items: %w", used, first, os.ErrInvalid)
	}
	return used, nil
}

// maxCopy is how many bytes are copied at once: the garbage collector can not
// stop a goroutine in the middle of a copy, and waits for it.
const maxCopy = 64 << 10

// copyBytes is copy in steps of at most maxCopy.
func copyBytes(dst, src []byte) int {
	n := min(len(dst), len(src))
	dst, src = dst[:n], src[:n]
	for len(src) > maxCopy {
		copy(dst[:maxCopy], src)
		dst, src = dst[maxCopy:], src[maxCopy:]
	}
	copy(dst, src)
	return n
}
