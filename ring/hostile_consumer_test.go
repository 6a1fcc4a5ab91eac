package ring

import (
	"bytes"
	"io"
	"testing"
)

// consumerOracle says what a Consumer must do when its producer stores
// whatever it likes.
type consumerOracle struct {
	capacity int
	head     uint64
	known    int // bytes found and not yet consumed
	origin   uint64
	failed   bool
	ended    bool
}

// readable says what a look at the peer's memory must give.
func (o *consumerOracle) readable(peer []byte) (int, error) {
	if o.known > 0 {
		return o.known, nil
	}
	if o.ended {
		return 0, io.EOF
	}
	n, ok := among(word64(peer, atTail), o.head, o.capacity)
	switch {
	case o.failed || !ok:
		o.failed = true
		return 0, ErrCorrupt
	case n > 0:
		o.known, o.origin = n, word64(peer, atOrigin)
		return n, nil
	case word64(peer, atSendClosed) != 0:
		o.ended = true
		return 0, io.EOF
	}
	return 0, nil
}

// peek returns the next n bytes as the memory has them at this moment.
func (o *consumerOracle) peek(peer []byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = peer[atData+int((o.head+uint64(i)-o.origin)%uint64(o.capacity))]
	}
	return b
}

// release returns whether consuming n bytes wakes the producer.
func (o *consumerOracle) release(peer []byte, n int) (wake bool) {
	i, ok := among(word64(peer, atSpaceEvent), o.head, n)
	o.head += uint64(n)
	o.known -= n
	return ok && i < n
}

// runHostileProducer lets a Consumer work while every word and byte of its
// producer takes arbitrary values in between.
func runHostileProducer(t *testing.T, s *script, own, peers *guarded) {
	capacity := len(peers.mem) - atData
	own.reset()
	peers.reset()
	mine, peer := own.mem, peers.mem
	c, err := NewConsumer(mine, peer)
	if err != nil {
		t.Fatal(err)
	}
	o := &consumerOracle{capacity: capacity, head: s.start()}
	c.start(o.head)

	// What both memories must hold after each step, byte for byte.
	wantPeer, wantMine := bytes.Clone(peer), make([]byte, len(mine))
	setWord64(wantMine, atDataEvent, o.head-1)
	store := func(at int, v uint64) {
		setWord64(peer, at, v)
		setWord64(wantPeer, at, v)
	}
	store(atTail, o.head)

	for step := 0; s.more(); step++ {
		switch op := s.next() % 12; op {
		case 0, 1, 2: // the hostile stores, the tail most often
			store(atTail, s.hostileWord(o.head+uint64(o.known), capacity))
		case 3:
			store(atOrigin, s.hostileWord(o.head, capacity))
		case 4:
			store(atSpaceEvent, s.hostileWord(o.head, capacity))
		case 5:
			store(atSendClosed, uint64(s.next()%3)<<(s.next()%63))
		case 6:
			for i := atData; i < len(peer); i += 1 + int(s.next())%16 {
				peer[i] = s.next()
				wantPeer[i] = peer[i]
			}
		case 7, 8, 9, 10:
			want, wantErr := o.readable(peer)
			n, err := c.Readable()
			if n != want || err != wantErr {
				t.Fatalf("step %d: Readable = %d, %v, want %d, %v", step, n, err, want, wantErr)
			}
			if op == 7 {
				break
			}
			if op == 8 {
				b := make([]byte, s.upTo(capacity+8))
				m := min(want, len(b))
				data := o.peek(peer, m)
				n, wake, err := c.Read(b)
				if n != m || !bytes.Equal(b[:n], data) || m == 0 && err != wantErr || m > 0 && err != nil {
					t.Fatalf("step %d: Read of %d = %x, %v, want %x, %v", step, len(b), b[:n], err, data, wantErr)
				}
				if want := o.release(peer, m); wake != want {
					t.Fatalf("step %d: Read wakes: %v, want %v", step, wake, want)
				}
				break
			}
			n = s.upTo(want)
			first, second := c.Peek(n)
			if got, want := append(bytes.Clone(first), second...), o.peek(peer, n); !bytes.Equal(got, want) {
				t.Fatalf("step %d: Peek(%d) = %x, want %x", step, n, got, want)
			}
			if op == 9 { // the bytes and words change while they are looked at
				store(atTail, s.hostileWord(o.head, capacity))
				store(atOrigin, s.hostileWord(o.head, capacity))
				i := atData + int(s.next())%capacity
				peer[i]++
				wantPeer[i]++
			}
			n = s.upTo(n)
			if got, want := c.Release(n), o.release(peer, n); got != want {
				t.Fatalf("step %d: Release wakes: %v, want %v", step, got, want)
			}
		case 11:
			if s.next()%16 == 0 {
				c.CloseRead()
				setWord64(wantMine, atRecvClosed, 1)
				break
			}
			c.Announce()
			setWord64(wantMine, atDataEvent, o.head+uint64(o.known))
		}
		if !bytes.Equal(peer, wantPeer) {
			t.Fatalf("step %d: the consumer wrote to its peer's memory", step)
		}
		setWord64(wantMine, atHead, o.head)
		if !bytes.Equal(mine, wantMine) {
			t.Fatalf("step %d: the consumer's memory is not what it must be", step)
		}
		if c.Consumed() != o.head {
			t.Fatalf("step %d: consumed %#x, want %#x", step, c.Consumed(), o.head)
		}
	}
	own.check(t)
	peers.check(t)
}

// FuzzHostileProducer checks a Consumer against a producer that stores
// arbitrary values at arbitrary moments.
func FuzzHostileProducer(f *testing.F) {
	var own, peers []*guarded
	for _, capacity := range hostileCapacities {
		own = append(own, newGuarded(f, MemorySize(64)))
		peers = append(peers, newGuarded(f, MemorySize(capacity)))
	}
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 0, 64, 8, 255, 0, 0, 64, 8, 255})     // correct, full each time
	f.Add([]byte{0, 2, 0, 0, 65, 7, 0, 0, 0, 7})                // one too far, then repentant
	f.Add([]byte{1, 2, 0, 0, 5, 8, 255, 0, 0, 255, 7})          // one back
	f.Add([]byte{0, 1, 0, 0, 9, 3, 7, 1, 2, 3, 4, 10, 9, 4, 3}) // any origin
	f.Add([]byte{2, 0, 5, 1, 0, 7, 5, 0, 0, 0, 0, 3, 8, 2, 7})  // bytes after the end
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &script{b}
		i := int(s.next()) % len(own)
		runHostileProducer(t, s, own[i], peers[i])
	})
}

func TestHostileProducer(t *testing.T) {
	for _, capacity := range hostileCapacities {
		own, peers := newGuarded(t, MemorySize(64)), newGuarded(t, MemorySize(capacity))
		for seed := range uint64(1000) {
			runHostileProducer(t, randomScript(seed, 400), own, peers)
		}
	}
}

// A violation is final, even when the peer restores correct values.
func TestConsumerStaysCorrupt(t *testing.T) {
	for _, start := range starts {
		for _, bad := range []uint64{65, 66, 1 << 20, 1 << 31, 1 << 32, 1 << 63, 1<<64 - 1, 1<<64 - 64} {
			e := newEnds(t, 64, start)
			setWord64(e.a, atTail, start+bad)
			e.readable(t, 0, ErrCorrupt)
			for _, v := range []uint64{0, 1, 64} {
				setWord64(e.a, atTail, start+v)
				setWord64(e.a, atSendClosed, v)
				e.readable(t, 0, ErrCorrupt)
				if n, wake, err := e.c.Read(make([]byte, 8)); n != 0 || wake || err != ErrCorrupt {
					t.Fatalf("Read = %d, %v, %v", n, wake, err)
				}
			}
		}
	}
}

// What is known stays readable whatever happens to the tail meanwhile; a tail
// behind it is a violation as soon as it is looked at.
func TestConsumerTailBackwards(t *testing.T) {
	e := newEnds(t, 64, 0)
	e.write(t, stream(make([]byte, 20), 0))
	e.readable(t, 20, nil)
	setWord64(e.a, atTail, 10)
	e.readable(t, 20, nil)
	if err := e.c.refresh(); err != ErrCorrupt {
		t.Fatalf("a tail behind the known one: %v", err)
	}

	e = newEnds(t, 64, 0)
	e.write(t, stream(make([]byte, 20), 0))
	e.readable(t, 20, nil)
	setWord64(e.a, atTail, 10)
	e.read(t, stream(make([]byte, 20), 0))
	e.readable(t, 0, ErrCorrupt)
}
