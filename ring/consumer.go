package ring

import (
	"io"

	"github.com/shmconn/shmconn/internal/bulk"
)

// A Consumer takes bytes out of the ring of the other end.
//
// It is used by one goroutine at a time. Its methods never block.
type Consumer struct {
	data []byte // the peer's outgoing bytes; may change at any time
	mask uint64
	mine *header
	peer *header

	head   uint64 // next index to consume
	tail   uint64 // last checked tail of the peer; never ahead of the truth
	origin uint64 // where the bytes between head and tail lie
	failed bool
	ended  bool // the end has been reported
}

// NewConsumer returns the consumer of the end that owns mine, which receives
// from the end that owns peer. It writes its words in mine and reads peer,
// which may be mapped read-only. The caller keeps both alive while it is used.
func NewConsumer(mine, peer []byte) (*Consumer, error) {
	h, _, err := split(mine)
	if err != nil {
		return nil, err
	}
	ph, data, err := split(peer)
	if err != nil {
		return nil, err
	}
	c := &Consumer{data: data, mask: uint64(len(data) - 1), mine: h, peer: ph}
	c.start(0)
	return c, nil
}

// start sets the first index. An event just behind it asks for no wake-up.
func (c *Consumer) start(index uint64) {
	c.head, c.tail = index, index
	c.mine.head.store(index)
	c.mine.dataEvent.store(index - 1)
}

// Capacity returns how many bytes the ring holds.
func (c *Consumer) Capacity() int { return len(c.data) }

// Consumed returns how many bytes have been released since the start. It may
// be called at any time by any goroutine that keeps the memory alive.
func (c *Consumer) Consumed() uint64 { return c.mine.head.load() }

// Readable returns how many bytes can be consumed now, 0 when the ring is
// empty. It looks at the peer's words only when it knows of none. The error is
// io.EOF once the producer has closed and everything is consumed, or
// ErrCorrupt; either is final.
func (c *Consumer) Readable() (int, error) {
	if n := c.Seen(); n > 0 {
		return n, nil
	}
	// The peer cannot take its end back: whoever has been told of it may have
	// acted upon it.
	if c.ended {
		return 0, io.EOF
	}
	// Closed first, the index after: the producer closes after its last tail,
	// so a tail loaded after a seen close is the last one. In the other order,
	// bytes published between the two loads would be taken for none.
	closed := c.peer.sendClosed.load() != 0
	if err := c.refresh(); err != nil {
		return 0, err
	}
	n := c.Seen()
	if n == 0 && closed {
		c.ended = true
		return 0, io.EOF
	}
	return n, nil
}

// Seen returns how many bytes the last look at the peer's words has left to be
// consumed.
func (c *Consumer) Seen() int { return int(c.tail - c.head) }

// refresh loads the peer's tail and, if it has moved, where its bytes lie. A
// correct producer is never behind where it has been, nor further ahead of
// head than the capacity.
func (c *Consumer) refresh() error {
	// Takes over the bytes up to tail. Pairs with the store in Producer.Commit.
	t := c.peer.tail.load()
	if used := t - c.head; c.failed || used > uint64(len(c.data)) || used < c.tail-c.head {
		c.failed = true
		return ErrCorrupt
	}
	if t != c.tail {
		c.tail = t
		// After tail; any value is safe, because offsets are masked.
		c.origin = c.peer.origin.load()
	}
	return nil
}

// Peek returns the first n readable bytes in place: one slice, or two where
// the ring wraps around. n is at most what Readable returned. They stay
// readable until Release. A hostile producer may change them at any time:
// read any byte at most once.
func (c *Consumer) Peek(n int) (first, second []byte) {
	return slices(c.data, (c.head-c.origin)&c.mask, n)
}

// Release gives the first n bytes, at most what Readable returned, back to the
// producer and reports whether it has asked to be woken.
func (c *Consumer) Release(n int) (wake bool) {
	old := c.head
	c.head += uint64(n)
	// Hands the memory of the bytes before head back to the producer. Pairs
	// with the load of head in Producer.refresh.
	c.mine.head.store(c.head)
	// After the store: pairs with Producer.Announce (see Parking).
	return crossed(c.peer.spaceEvent.load(), c.head, old)
}

// Read consumes up to len(b) bytes into b, each read once, and returns their
// number, which is 0 when the ring is empty, and whether the producer must be
// woken.
func (c *Consumer) Read(b []byte) (n int, wake bool, err error) {
	n, err = c.Readable()
	if n = min(n, len(b)); n == 0 {
		return 0, false, err
	}
	first, second := c.Peek(n)
	bulk.Copy(b[bulk.Copy(b, first):], second)
	return n, c.Release(n), nil
}

// Announce says that the consumer, which has found the ring empty, is about to
// sleep until there is something to read. The caller must then look at
// Readable once more before it sleeps.
func (c *Consumer) Announce() {
	// Pairs with the load in Producer.Commit.
	c.mine.dataEvent.store(c.tail)
}

// WriteClosed reports whether the producer has closed, whatever there still is
// to be consumed. It may be called at any time by any goroutine that keeps the
// memory alive. A hostile producer can take it back.
func (c *Consumer) WriteClosed() bool { return c.peer.sendClosed.load() != 0 }

// CloseRead tells the producer that nothing more will be consumed. It may be
// called at any time by any goroutine that keeps the memory alive. The caller
// wakes the producer.
func (c *Consumer) CloseRead() { c.mine.recvClosed.store(1) }
