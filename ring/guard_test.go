package ring

import (
	"bytes"
	"encoding/binary"
	"testing"
)

const guardByte = 0xa5

// guarded is memory whose surroundings notice an access.
type guarded struct {
	mem           []byte
	before, after []byte // guard bytes
}

// reset makes the memory zero again.
func (g *guarded) reset() { clear(g.mem) }

func (g *guarded) check(t testing.TB) {
	t.Helper()
	for _, guard := range [][]byte{g.before, g.after} {
		if bytes.Count(guard, []byte{guardByte}) != len(guard) {
			t.Fatalf("guard bytes were overwritten: %x", guard)
		}
	}
}

func (g *guarded) fillGuards() *guarded {
	for _, guard := range [][]byte{g.before, g.after} {
		copy(guard, bytes.Repeat([]byte{guardByte}, len(guard)))
	}
	return g
}

// The offsets of the words, as the protocol has them: what the tests say of
// them does not follow from the layout of a Go struct.
const (
	atTail       = 0x000
	atOrigin     = 0x008
	atHead       = 0x080
	atDataEvent  = 0x100
	atSpaceEvent = 0x108
	atSendClosed = 0x110
	atRecvClosed = 0x118
	atData       = 0x1000
)

func word64(mem []byte, at int) uint64       { return binary.NativeEndian.Uint64(mem[at:]) }
func setWord64(mem []byte, at int, v uint64) { binary.NativeEndian.PutUint64(mem[at:], v) }

// among reports whether v is one of first, first+1, ... first+n, and which.
// It counts, so that it shares no arithmetic with what it is used to check.
func among(v, first uint64, n int) (int, bool) {
	for i := 0; i <= n; i++ {
		if v == first+uint64(i) {
			return i, true
		}
	}
	return 0, false
}

// hostileWord returns a value for a peer's word, most often one near the
// index base, where checks begin and end.
func (s *script) hostileWord(base uint64, capacity int) uint64 {
	c := s.next()
	delta := uint64(int64(int8(s.next())))
	switch c % 8 {
	case 0, 1, 2:
		return base + delta
	case 3:
		return base + uint64(capacity) + delta%4
	case 4:
		return base - uint64(capacity) + delta%4
	case 5:
		return delta
	case 6:
		return base + 1<<(c>>2) + delta
	default:
		var v uint64
		for range 8 {
			v = v<<8 | uint64(s.next())
		}
		return v
	}
}
