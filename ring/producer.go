package ring

import "github.com/shmconn/shmconn/internal/prefetch"

// A Producer puts bytes into the ring of one end.
//
// It is used by one goroutine at a time. Its methods never block.
type Producer struct {
	data []byte // our outgoing bytes; only we write them
	mask uint64
	mine *header
	peer *header

	tail   uint64 // next index to produce
	head   uint64 // last checked head of the peer; never ahead of the truth
	origin uint64 // index of the byte at offset 0
	failed bool
	ended  bool // the consumer has closed

	// See rewind.
	window  uint64 // how much of the memory is in use
	turn    uint64 // index at which it is used up
	turned  uint64 // index at which it was used up last
	commits uint64 // messages since then

	bypass bypass
}

const (
	// quietWindow is how much of the memory a producer uses to begin with.
	// Two pages each way keep an idle connection that has carried only small
	// messages within 32 KiB of memory.
	quietWindow = 8 << 10

	// prefetchMax is the largest message for which memory ahead of it is
	// prefetched, and how far ahead at most. What is larger takes longer to copy
	// than its lines to come.
	//
	// prefetchAhead is the distance in messages, as far as prefetchMax lets it be:
	// a message of 1 KiB has the lines of the next one prefetched. With 256 bytes
	// for all sizes, messages of 256 B take 100 ns and of 1 KiB 230, with this
	// distance 80 and 170; those of 64 B take longer with 8 messages than with 4.
	prefetchMax   = 1 << 10
	prefetchAhead = 4

	// windowMessages is how many messages of average size should fit into the
	// window.
	windowMessages = 32
)

// NewProducer returns the producer of the end that owns mine, which sends to
// the end that owns peer. Both memories are zero where neither end has used
// them; the producer writes its words in mine and reads those in peer, which
// may be mapped read-only. The caller keeps both alive while it is used.
func NewProducer(mine, peer []byte) (*Producer, error) {
	h, data, err := split(mine)
	if err != nil {
		return nil, err
	}
	ph, _, err := split(peer)
	if err != nil {
		return nil, err
	}
	p := &Producer{data: data, mask: uint64(len(data) - 1), mine: h, peer: ph}
	p.window = min(quietWindow, uint64(len(data)))
	p.start(0)
	return p, nil
}

// start sets the first index. An event just behind it asks for no wake-up.
func (p *Producer) start(index uint64) {
	p.tail, p.head, p.origin, p.turned = index, index, index, index
	p.turn = index + p.window
	p.mine.origin.store(index)
	p.mine.tail.store(index)
	p.mine.spaceEvent.store(index - 1)
}

// Capacity returns how many bytes the ring holds.
func (p *Producer) Capacity() int { return len(p.data) }

// Produced returns how many bytes have been committed since the start. It may
// be called at any time by any goroutine that keeps the memory alive.
func (p *Producer) Produced() uint64 { return p.mine.tail.load() }

// Writable returns how many bytes can be produced now. It looks each time
// whether the consumer has closed, but at how far it is only when it knows of
// fewer bytes than need, or has come to the end of the window; in the latter case
// it may decide to go on at the start of the memory, so that an earlier
// reservation is void. The error is ErrReadClosed once the consumer has closed,
// or ErrCorrupt.
func (p *Producer) Writable(need int) (int, error) {
	if p.failed {
		return 0, ErrCorrupt
	}
	if p.ended || p.peer.recvClosed.load() != 0 {
		p.ended = true // the peer cannot take that back
		return 0, ErrReadClosed
	}
	if p.tail-p.turned >= p.turn-p.turned {
		if err := p.rewind(); err != nil {
			return 0, err
		}
	}
	free := len(p.data) - int(p.tail-p.head)
	if free >= need {
		return free, nil
	}
	if err := p.refresh(); err != nil {
		return 0, err
	}
	return len(p.data) - int(p.tail-p.head), nil
}

// refresh loads the peer's head. A correct consumer is never behind where it
// has been, nor ahead of what was produced.
func (p *Producer) refresh() error {
	h := p.peer.head.load()
	if p.tail-h > p.tail-p.head {
		p.failed = true
		return ErrCorrupt
	}
	p.head = h
	return nil
}

// rewind decides, once the window is used up, where production goes on. Where
// the consumer has always caught up before the next small message, as in an
// exchange of requests and answers, it goes back to the start of the memory.
// In a stream the window is doubled instead, up to the whole memory: to write
// again what the consumer has only just read means to fetch each cache line
// back from the consumer's CPU, while lines further ahead have reached the
// shared cache meanwhile (64 KiB messages: 3 GB/s in a window of 64 KiB, over
// 20 in one of 4 MiB).
//
// A moved origin goes over to the consumer with the tail that the next Commit
// publishes.
func (p *Producer) rewind() error {
	if err := p.refresh(); err != nil {
		return err
	}
	since := p.tail - p.turned
	large := since*windowMessages > p.window*p.commits
	if p.tail == p.head && !large {
		p.origin = p.tail
		p.mine.origin.store(p.origin)
	}
	// The window ends ahead of the tail, also after a message larger than it.
	for p.tail-p.origin >= p.window {
		p.window *= 2
	}
	p.turned, p.commits = p.tail, 0
	p.turn = p.origin + p.window
	if p.window >= uint64(len(p.data)) {
		p.turn = p.tail - 1 // the memory as a whole: never again
	}
	return nil
}

// Reserve returns the memory of the first n bytes that can be produced: one
// slice, or two where the ring wraps around. n is at most what Writable
// returned. A reservation ends with the next Commit, Put, Write or Writable. What is
// written there becomes visible to the consumer with Commit;
// until then only this producer has use of it, though a hostile consumer can
// look at it.
func (p *Producer) Reserve(n int) (first, second []byte) {
	return slices(p.data, (p.tail-p.origin)&p.mask, n)
}

// Commit publishes the next n bytes, at most what Writable returned, and
// reports whether the consumer has asked to be woken.
func (p *Producer) Commit(n int) (wake bool) {
	old := p.tail
	p.tail += uint64(n)
	p.commits++
	// Hands the bytes up to tail, and the origin that says where they lie, to
	// the consumer. Pairs with the load of tail in Consumer.refresh.
	p.mine.tail.store(p.tail)
	// After the store: pairs with Consumer.Announce (see Parking).
	return crossed(p.peer.dataEvent.load(), p.tail, old)
}

// Write produces as many bytes of b as fit and returns their number, which is
// 0 when the ring is full, and whether the consumer must be woken.
func (p *Producer) Write(b []byte) (n int, wake bool, err error) {
	free, err := p.Writable(len(b))
	if err != nil || free == 0 || len(b) == 0 {
		return 0, false, err
	}
	n = min(len(b), free)
	return n, p.Put(b[:n]), nil
}

// Put produces all of b, which is at least one byte and at most what Writable
// returned, and reports whether the consumer must be woken.
func (p *Producer) Put(b []byte) (wake bool) {
	first, second := p.Reserve(len(b))
	if len(b) <= prefetchMax {
		p.prefetch(len(b))
		copy(second, b[copy(first, b):])
	} else {
		p.bypass.copy(second, b[p.bypass.copy(first, b[:len(first)]):])
	}
	return p.Commit(len(b))
}

// prefetch asks for the memory that a message of n bytes, some messages after
// the one at hand, will most likely go to.
func (p *Producer) prefetch(n int) {
	ahead := uint64(min(prefetchAhead*n, prefetchMax))
	first, _ := slices(p.data, (p.tail-p.origin+ahead)&p.mask, n)
	prefetch.ForWrite(first)
}

// Announce says that the producer is about to sleep until need bytes, at most
// the capacity, can be produced. The caller must then look at Writable once
// more before it sleeps.
func (p *Producer) Announce(need int) {
	// need bytes are free once head has reached tail+need-capacity; the event
	// is the index before.
	target := p.tail + uint64(need) - uint64(len(p.data))
	// Pairs with the load in Consumer.Release.
	p.mine.spaceEvent.store(target - 1)
}

// CloseWrite tells the consumer that no byte follows those committed. It may
// be called at any time by any goroutine that keeps the memory alive. The
// caller wakes the consumer.
func (p *Producer) CloseWrite() {
	// After the last tail: whoever loads this and then tail sees all bytes.
	p.mine.sendClosed.store(1)
}

// slices returns the n bytes at offset of data, modulo its length.
func slices(data []byte, offset uint64, n int) (first, second []byte) {
	first = data[offset:]
	if n <= len(first) {
		return first[:n:n], nil
	}
	return first, data[: n-len(first) : n-len(first)]
}
