package ring

import "testing"

// crossed against its meaning in plain words: event is one of the indices from
// old up to, but not including, new.
func TestCrossed(t *testing.T) {
	for _, base := range []uint64{0, 1, 1<<32 - 4, 1<<63 - 4, 1<<64 - 4} {
		for old := range uint64(8) {
			for step := range uint64(8) {
				for event := range uint64(20) {
					want := false
					for i := old; i < old+step; i++ {
						want = want || i == event
					}
					if got := crossed(base+event, base+old+step, base+old); got != want {
						t.Errorf("crossed(%#x+%d, +%d, +%d) = %v", base, event, old+step, old, got)
					}
				}
				for _, far := range []uint64{base - 1, base - 2, base + 1<<62, base + 1<<63, base - 1<<40} {
					if crossed(far, base+old+step, base+old) {
						t.Errorf("crossed(%#x, %#x+%d, +%d)", far, base, old+step, old)
					}
				}
			}
		}
	}
}

// Nobody is woken who has not asked.
func TestNoWakeUnasked(t *testing.T) {
	for _, start := range starts {
		e := newEnds(t, 64, start)
		index := start
		for i := range 200 {
			b := stream(make([]byte, 1+i%64), index)
			index += uint64(len(b))
			if e.write(t, b) {
				t.Fatalf("start %#x: Write %d wakes a consumer that is awake", start, i)
			}
			if e.read(t, b) {
				t.Fatalf("start %#x: Read %d wakes a producer that is awake", start, i)
			}
		}
	}
}

// An announced consumer is woken by the first byte, and by no other until it
// announces itself again.
func TestConsumerWokenOnce(t *testing.T) {
	for _, start := range starts {
		e := newEnds(t, 64, start)
		index := start
		for round := range 100 {
			e.readable(t, 0, nil)
			e.c.Announce()
			e.readable(t, 0, nil)
			n := 1 + round%10
			for i := range 3 {
				b := stream(make([]byte, n), index+uint64(i*n))
				if wake := e.write(t, b); wake != (i == 0) {
					t.Fatalf("start %#x, round %d: wake %v by Commit %d", start, round, wake, i)
				}
			}
			e.read(t, stream(make([]byte, n), index))
			e.readable(t, 2*n, nil)
			e.read(t, stream(make([]byte, 2*n), index+uint64(n)))
			index += uint64(3 * n)
			b := stream(make([]byte, 5), index)
			if e.write(t, b) {
				t.Fatalf("start %#x, round %d: woken again unasked", start, round)
			}
			e.read(t, b)
			index += 5
		}
	}
}

// A Commit of nothing crosses no event, so it must not use up the wake-up.
func TestEmptyCommitDoesNotWake(t *testing.T) {
	e := newEnds(t, 64, 0)
	e.c.Announce()
	if e.p.Commit(0) {
		t.Fatal("Commit(0) wakes")
	}
	if !e.write(t, []byte{1}) {
		t.Fatal("the first byte does not wake")
	}
}

// An announced producer is woken by the Release that makes need bytes free,
// not before, and by no other.
func TestProducerWokenOnce(t *testing.T) {
	for _, start := range starts {
		for need := 1; need <= 64; need++ {
			e := newEnds(t, 64, start)
			e.write(t, stream(make([]byte, 64), start))
			e.writable(t, need, 0, nil)
			e.p.Announce(need)
			e.writable(t, need, 0, nil)
			for free := 1; free <= 64; free++ {
				wake := e.read(t, []byte{streamByte(start + uint64(free) - 1)})
				if wake != (free == need) {
					t.Fatalf("start %#x, need %d: wake %v with %d free", start, need, wake, free)
				}
			}
			e.writable(t, 64, 64, nil)
		}
	}
}

// One Release that goes far past the event wakes as well.
func TestProducerWokenByLargeRelease(t *testing.T) {
	for _, step := range []int{31, 32, 33, 64} {
		e := newEnds(t, 64, 0)
		e.write(t, stream(make([]byte, 64), 0))
		e.p.Announce(32)
		if wake := e.read(t, stream(make([]byte, step), 0)); wake != (step >= 32) {
			t.Errorf("need 32: wake %v by a release of %d", wake, step)
		}
	}
}

// When the event is already behind, nobody wakes: the look at Writable or
// Readable after Announce is what finds the work.
func TestAnnounceTooLate(t *testing.T) {
	e := newEnds(t, 64, 0)
	e.write(t, stream(make([]byte, 64), 0))
	e.writable(t, 1, 0, nil)
	e.read(t, stream(make([]byte, 40), 0))
	e.p.Announce(30)
	e.writable(t, 30, 40, nil)
	if e.read(t, stream(make([]byte, 24), 40)) {
		t.Error("a stale event of the producer wakes")
	}

	e = newEnds(t, 64, 0)
	e.readable(t, 0, nil)
	e.write(t, stream(make([]byte, 10), 0))
	e.c.Announce()
	e.readable(t, 10, nil)
	if e.write(t, stream(make([]byte, 10), 10)) {
		t.Error("a stale event of the consumer wakes")
	}
}

// A consumer that announces itself with known bytes left is woken by the next.
func TestAnnounceWithBytesLeft(t *testing.T) {
	e := newEnds(t, 64, 0)
	e.write(t, []byte("ab"))
	e.read(t, []byte("a"))
	e.c.Announce()
	if !e.write(t, []byte("c")) {
		t.Error("not woken")
	}
}

// The latest announcement counts.
func TestAnnounceAgain(t *testing.T) {
	e := newEnds(t, 64, 0)
	e.write(t, stream(make([]byte, 64), 0))
	e.p.Announce(10)
	e.p.Announce(20)
	if e.read(t, stream(make([]byte, 19), 0)) {
		t.Error("woken by the withdrawn event")
	}
	if !e.read(t, []byte{streamByte(19)}) {
		t.Error("not woken by the event")
	}
}

// The memory of an end that has not started yet is zero. Its counterpart may
// start, and may see one wake-up too many, never one too few.
func TestStartBeforePeer(t *testing.T) {
	a, b := make([]byte, MemorySize(64)), make([]byte, MemorySize(64))
	p, err := NewProducer(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if n, _, err := p.Write([]byte("early")); n != 5 || err != nil {
		t.Fatalf("Write before the consumer exists = %d, %v", n, err)
	}
	c, err := NewConsumer(b, a)
	if err != nil {
		t.Fatal(err)
	}
	e := ends{a, b, p, c}
	e.read(t, []byte("early"))
	c.Announce()
	if !e.write(t, []byte("x")) {
		t.Error("not woken")
	}
}
