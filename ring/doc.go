// Package ring is a single-producer single-consumer byte ring over plain
// memory, for two ends that need not trust each other.
//
// The memory is split by writer. Each end owns one memory area, the only one
// that it writes; the other end reads it. An end's area holds the bytes that
// it sends, and every word that it publishes: how far it has produced (tail),
// how far it has consumed of the other end's bytes (head), the two indices at
// which it wants to be woken, and whether it has closed either direction. No
// word is ever written by both ends, so there is no shared read-modify-write,
// and an end that runs wild cannot touch what the other has published.
//
// A [Producer] and a [Consumer] are separate values, because each is used by
// its own goroutine. An end of a bidirectional connection has one of each,
// over the same two areas:
//
//	a, b := make([]byte, ring.MemorySize(4096)), make([]byte, ring.MemorySize(4096))
//	p, err := ring.NewProducer(a, b) // end A sends
//	c, err := ring.NewConsumer(b, a) // end B receives
//
// Large copies may go past the caches, by internal/bulk, and small ones have their
// cache lines fetched beforehand, by internal/prefetch.
//
// The package knows no descriptors and never blocks: it says when the other
// end must be woken, and how to announce that this end is about to sleep. How
// to sleep is the caller's business.
//
// # Indices
//
// Head and tail count bytes since the start and never wrap in practice (all
// arithmetic is modulo 2^64 all the same). tail-head is the number of bytes in
// the ring, between 0 and the capacity, a power of two. The byte with index i
// lies at offset (i-origin) modulo the capacity. The producer moves origin
// only while the ring is empty, and publishes it before the tail that first
// uses it: a consumer that loads tail, then origin, can therefore never pair a
// byte with the wrong origin, because the bytes between its head and that tail
// keep the ring from being empty until it has consumed them. Moving the origin
// back to the start of the memory while little is in flight keeps quiet
// connections on a few pages of a large, sparse memory file.
//
// # Trust
//
// An end's own cursors are private Go variables and are only ever published,
// never read back. A word of the peer is loaded once into a local variable,
// checked against the private cursors, then used; the first violation makes
// the Producer or Consumer fail with [ErrCorrupt] for ever. Offsets are masked
// by the capacity, so that no value of any word leads outside the memory.
// Payload bytes of a hostile producer may change while they are read: read
// each at most once.
//
// # Parking
//
// Sleeper and waker follow these two lists. The atomics of package sync/atomic
// are sequentially consistent, which is needed here: with acquire and release
// alone, both ends could pass their second step on values from before the
// other's first.
//
// The end that is about to sleep (Consumer for data, Producer for space):
//
//  1. publishes its event: the index whose crossing is to wake it (Announce);
//  2. checks again whether there is something to do (Readable, Writable);
//  3. sleeps, if not.
//
// The end that makes progress:
//
//  1. publishes its index: tail after producing, head after consuming;
//  2. loads the other's event;
//  3. wakes the other exactly when this step has crossed it (Commit and
//     Release return true).
//
// Either the sleeper's check sees the new index, or the waker's load sees the
// event; no order of the four accesses lets both miss. The event belongs to
// the sleeper alone and the waker only reads it. The tempting alternative, a
// waiting flag that the waker clears, loses wake-ups: a waker preempted
// between its publish and its clear wipes the sleeper's next announcement.
//
// Whether an index crosses an event is decided as virtio does: old <= event <
// new, computed modulo 2^64 as new-event-1 < new-old. Each crossing happens
// once, so one announcement is answered by one wake, and a stale event by none.
package ring
