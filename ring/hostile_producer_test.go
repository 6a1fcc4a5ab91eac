package ring

import (
	"bytes"
	"testing"
)

// hostileCapacities are sizes of the ring of which the second makes memory of
// whole pages, with a guard page at its start as well.
var hostileCapacities = []int{64, 4096, 256}

// randomScript returns n bytes that are the same in every run.
func randomScript(seed uint64, n int) *script {
	r := newRand(seed)
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return &script{b}
}

// producerOracle says what a Producer may do when its consumer stores whatever
// it likes. When it looks at the head is its own choice, within limits: the
// oracle accepts either the known or the present one, and learns which it was.
type producerOracle struct {
	capacity int
	tail     uint64
	known    int // bytes in flight as far as the producer knows
	failed   bool
	ended    bool
}

// writable checks an answer of Writable, given the peer's present memory.
func (o *producerOracle) writable(t *testing.T, step int, peer []byte, need, n int, err error) {
	t.Helper()
	free := o.capacity - o.known
	consumed, valid := among(word64(peer, atHead), o.tail-uint64(o.known), o.known)
	switch {
	case o.failed:
		if n != 0 || err != ErrCorrupt {
			t.Fatalf("step %d: Writable = %d, %v after a violation", step, n, err)
		}
	case o.ended || word64(peer, atRecvClosed) != 0:
		o.ended = true
		if n != 0 || err != ErrReadClosed {
			t.Fatalf("step %d: Writable = %d, %v of a closed consumer", step, n, err)
		}
	case err == ErrCorrupt:
		if valid || n != 0 {
			t.Fatalf("step %d: Writable = %d, %v with a correct head", step, n, err)
		}
		o.failed = true
	case err != nil:
		t.Fatalf("step %d: Writable: %v", step, err)
	case valid && n == free+consumed:
		o.known -= consumed
	case n == free && free >= need:
		// It has not looked.
	default:
		t.Fatalf("step %d: Writable(%d) = %d with %d free and head %#x, tail %#x", step, need, n, free, word64(peer, atHead), o.tail)
	}
}

// commit returns whether producing n bytes wakes the consumer.
func (o *producerOracle) commit(peer []byte, n int) (wake bool) {
	i, ok := among(word64(peer, atDataEvent), o.tail, n)
	o.tail += uint64(n)
	o.known += n
	return ok && i < n
}

// runHostileConsumer lets a Producer work while every word of its consumer
// takes arbitrary values in between.
func runHostileConsumer(t *testing.T, s *script, own, peers *guarded) {
	capacity := len(own.mem) - atData
	own.reset()
	peers.reset()
	mine, peer := own.mem, peers.mem
	p, err := NewProducer(mine, peer)
	if err != nil {
		t.Fatal(err)
	}
	o := &producerOracle{capacity: capacity, tail: s.start()}
	p.start(o.tail)
	setWord64(peer, atHead, o.tail)
	setWord64(peer, atDataEvent, o.tail-1)

	wantPeer := bytes.Clone(peer)
	wantMine := make([]byte, atData) // the header; origin is checked by its use
	setWord64(wantMine, atSpaceEvent, o.tail-1)
	store := func(at int, v uint64) {
		setWord64(peer, at, v)
		setWord64(wantPeer, at, v)
	}

	for step := 0; s.more(); step++ {
		switch op := s.next() % 12; op {
		case 0, 1, 2: // the hostile stores, the head most often
			store(atHead, s.hostileWord(o.tail-uint64(o.known), capacity))
		case 3: // as a correct consumer does: somewhere up to tail
			store(atHead, o.tail-uint64(s.upTo(o.known)))
		case 4:
			store(atDataEvent, s.hostileWord(o.tail, capacity))
		case 5:
			store(atRecvClosed, uint64(s.next()%2)<<(s.next()%63))
		case 6, 7, 8:
			need := s.upTo(capacity)
			if need%2 == 1 {
				tryRewind(p)
			}
			n, err := p.Writable(need)
			o.writable(t, step, peer, need, n, err)
			n = s.upTo(n)
			if op == 6 {
				break
			}
			first, second := p.Reserve(n)
			if len(first)+len(second) != n {
				t.Fatalf("step %d: Reserve(%d) = %d and %d bytes", step, n, len(first), len(second))
			}
			b := stream(make([]byte, n), o.tail)
			copy(second, b[copy(first, b):])
			if op == 8 { // anything may change between the check and the use
				store(atHead, s.hostileWord(o.tail, capacity))
			}
			n = s.upTo(n)
			if got, want := p.Commit(n), o.commit(peer, n); got != want {
				t.Fatalf("step %d: Commit wakes: %v, want %v", step, got, want)
			}
		case 9, 10:
			b := stream(make([]byte, s.upTo(capacity+8)), o.tail)
			before := o.known
			n, wake, err := p.Write(b)
			if n > len(b) || err != nil && n != 0 {
				t.Fatalf("step %d: Write of %d = %d, %v", step, len(b), n, err)
			}
			// What Write had to work with follows from what it did.
			room := capacity - before
			if consumed, ok := among(word64(peer, atHead), o.tail-uint64(before), before); ok && (n > room || room < len(b)) {
				room += consumed
			}
			if err != nil {
				room = 0
			}
			if n != min(len(b), room) {
				t.Fatalf("step %d: Write of %d = %d with room for %d", step, len(b), n, room)
			}
			o.writable(t, step, peer, len(b), writeRoom(p, n, err), err)
			if want := o.commit(peer, n); wake != want {
				t.Fatalf("step %d: Write wakes: %v, want %v", step, wake, want)
			}
		case 11:
			if s.next()%16 == 0 {
				p.CloseWrite()
				setWord64(wantMine, atSendClosed, 1)
				break
			}
			need := s.upTo(capacity)
			p.Announce(need)
			// The last head at which fewer than need bytes are free.
			setWord64(wantMine, atSpaceEvent, o.tail-uint64(capacity)+uint64(need)-1)
		}
		if !bytes.Equal(peer, wantPeer) {
			t.Fatalf("step %d: the producer wrote to its peer's memory", step)
		}
		origin := word64(mine, atOrigin)
		setWord64(wantMine, atOrigin, origin)
		setWord64(wantMine, atTail, o.tail)
		if !bytes.Equal(mine[:atData], wantMine) {
			t.Fatalf("step %d: the producer's words are not what they must be", step)
		}
		if p.Produced() != o.tail {
			t.Fatalf("step %d: produced %#x, want %#x", step, p.Produced(), o.tail)
		}
		for i := o.tail - uint64(o.known); i != o.tail; i++ {
			if got := mine[atData+int((i-origin)%uint64(capacity))]; got != streamByte(i) {
				t.Fatalf("step %d: byte %#x in flight is %#x, want %#x", step, i, got, streamByte(i))
			}
		}
	}
	own.check(t)
	peers.check(t)
}

// writeRoom returns what Writable must have told a Write that produced n.
func writeRoom(p *Producer, n int, err error) int {
	if err != nil {
		return 0
	}
	return len(p.data) - int(p.tail-p.head) + n
}

// FuzzHostileConsumer checks a Producer against a consumer that stores
// arbitrary values at arbitrary moments.
func FuzzHostileConsumer(f *testing.F) {
	var own, peers []*guarded
	for _, capacity := range hostileCapacities {
		own = append(own, newGuarded(f, MemorySize(capacity)))
		peers = append(peers, newGuarded(f, MemorySize(64)))
	}
	f.Add([]byte{})
	f.Add([]byte{0, 0, 9, 255, 3, 0, 9, 255, 3, 0, 9, 255})      // correct, full each time
	f.Add([]byte{0, 2, 9, 50, 0, 0, 51, 6, 255, 255, 6})         // one past the tail
	f.Add([]byte{0, 1, 9, 255, 3, 4, 6, 255, 0, 0, 255, 6, 255}) // one back
	f.Add([]byte{1, 2, 9, 90, 5, 1, 0, 9, 90, 5, 0, 0, 9, 90})   // closed and opened
	f.Add([]byte{2, 0, 4, 0, 0, 9, 8, 4, 0, 0, 9, 8, 11, 1, 9})  // woken each time
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &script{b}
		i := int(s.next()) % len(own)
		runHostileConsumer(t, s, own[i], peers[i])
	})
}

func TestHostileConsumer(t *testing.T) {
	for _, capacity := range hostileCapacities {
		own, peers := newGuarded(t, MemorySize(capacity)), newGuarded(t, MemorySize(64))
		for seed := range uint64(1000) {
			runHostileConsumer(t, randomScript(seed, 400), own, peers)
		}
	}
}

// A violation is final, even when the peer restores correct values or closes.
func TestProducerStaysCorrupt(t *testing.T) {
	for _, start := range starts {
		for _, bad := range []uint64{41, 64, 1 << 20, 1 << 31, 1 << 32, 1 << 63, 1<<64 - 1, 1<<64 - 64} {
			e := newEnds(t, 64, start)
			e.write(t, stream(make([]byte, 40), start))
			setWord64(e.b, atHead, start+bad)
			e.writable(t, 24, 24, nil) // known to be free: no reason to look
			e.writable(t, 25, 0, ErrCorrupt)
			for _, v := range []uint64{0, 1, 40} {
				setWord64(e.b, atHead, start+v)
				setWord64(e.b, atRecvClosed, v)
				e.writable(t, 1, 0, ErrCorrupt)
				if n, wake, err := e.p.Write([]byte{1}); n != 0 || wake || err != ErrCorrupt {
					t.Fatalf("Write = %d, %v, %v", n, wake, err)
				}
			}
		}
	}
}

// A head that goes back, though not behind the tail's reach, is a violation.
func TestProducerHeadBackwards(t *testing.T) {
	e := newEnds(t, 64, 0)
	e.write(t, stream(make([]byte, 64), 0))
	e.read(t, stream(make([]byte, 30), 0))
	e.writable(t, 1, 30, nil)
	setWord64(e.b, atHead, 29)
	e.writable(t, 31, 0, ErrCorrupt)
}

// The origin is moved only on the word of a valid head.
func TestRewindChecksHead(t *testing.T) {
	e := newEnds(t, 64, 0)
	e.write(t, stream(make([]byte, 64), 0))
	e.read(t, stream(make([]byte, 64), 0))
	setWord64(e.b, atHead, 65)
	tryRewind(e.p)
	e.writable(t, 0, 0, ErrCorrupt)
	if got := word64(e.a, atOrigin); got != 0 {
		t.Fatalf("origin %d after a violation", got)
	}
}
