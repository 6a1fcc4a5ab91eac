package ring

import (
	"errors"
	"fmt"
)

// The memory of one end: a header page, then its outgoing bytes. Words are 8
// bytes, aligned, in the machine's byte order, changed only by atomic stores
// of this end.
//
//	offset  word         written by      read by
//	0x000   tail         our Producer    their Consumer    bytes produced
//	0x008   origin       our Producer    their Consumer    index of the byte at offset 0
//	0x080   head         our Consumer    their Producer    bytes consumed of theirs
//	0x100   dataEvent    our Consumer    their Producer    wake us when tail passes it
//	0x108   spaceEvent   our Producer    their Consumer    wake us when head passes it
//	0x110   sendClosed   our Producer    their Consumer    not 0: no byte follows tail
//	0x118   recvClosed   our Consumer    their Producer    not 0: we read no more
//	0x1000  data         our Producer    their Consumer
//
// Words that change with every message stand 128 bytes apart, so that neither
// a cache line nor the pair that the prefetcher fetches is shared; the words
// that seldom change share one line, which both ends keep in their caches.
const (
	// HeaderSize is the number of bytes before the data in an end's memory.
	HeaderSize = 4096

	// MinCapacity and MaxCapacity bound the data bytes of one ring.
	MinCapacity = 64
	MaxCapacity = 1 << 30
)

// ErrCorrupt reports that the other end published an index that no correct
// end can publish. The Producer or Consumer that returned it is unusable.
var ErrCorrupt = errors.New("ring corrupted by peer")

// ErrReadClosed reports that the other end consumes no more.
var ErrReadClosed = errors.New("ring closed by its consumer")

// MemorySize returns how many bytes of memory an end needs whose outgoing
// ring holds capacity bytes.
func MemorySize(capacity int) int { return HeaderSize + capacity }

// ValidCapacity reports whether a ring may hold capacity bytes: a power of two
// between MinCapacity and MaxCapacity.
func ValidCapacity(capacity int) bool {
	return capacity >= MinCapacity && capacity <= MaxCapacity && capacity&(capacity-1) == 0
}

// split checks an end's memory and returns its header and its data.
func split(mem []byte) (*header, []byte, error) {
	capacity := len(mem) - HeaderSize
	if !ValidCapacity(capacity) {
		return nil, nil, fmt.Errorf("ring: memory of %d bytes does not hold a header and a power of two between %d and %d bytes",
			len(mem), MinCapacity, MaxCapacity)
	}
	h, err := headerOf(mem)
	if err != nil {
		return nil, nil, err
	}
	return h, mem[HeaderSize:], nil
}

// crossed reports whether moving an index from old to new passed event.
func crossed(event, new, old uint64) bool { return new-event-1 < new-old }
