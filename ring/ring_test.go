package ring

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

// ends is one direction between end A, which sends, and end B, which receives.
type ends struct {
	a, b []byte // the memories of the two ends
	p    *Producer
	c    *Consumer
}

// starts are first indices from which a few hundred bytes cross what a 32-bit
// or a 64-bit counter can hold.
var starts = []uint64{0, 1<<32 - 100, 1<<64 - 100}

func newEnds(t testing.TB, capacity int, start uint64) ends {
	t.Helper()
	return endsOver(t, make([]byte, MemorySize(capacity)), make([]byte, MemorySize(capacity)), start)
}

func endsOver(t testing.TB, a, b []byte, start uint64) ends {
	t.Helper()
	p, err := NewProducer(a, b)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewConsumer(b, a)
	if err != nil {
		t.Fatal(err)
	}
	p.start(start)
	c.start(start)
	return ends{a, b, p, c}
}

// write produces all of b, which must fit.
func (e ends) write(t testing.TB, b []byte) (wake bool) {
	t.Helper()
	n, wake, err := e.p.Write(b)
	if n != len(b) || err != nil {
		t.Fatalf("Write of %d bytes = %d, %v", len(b), n, err)
	}
	return wake
}

// read consumes exactly the bytes of want.
func (e ends) read(t testing.TB, want []byte) (wake bool) {
	t.Helper()
	got := make([]byte, len(want))
	n, wake, err := e.c.Read(got)
	if n != len(want) || err != nil {
		t.Fatalf("Read of %d bytes = %d, %v", len(want), n, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("Read = %x, want %x", got, want)
	}
	return wake
}

func (e ends) readable(t testing.TB, want int, wantErr error) {
	t.Helper()
	if n, err := e.c.Readable(); n != want || err != wantErr {
		t.Fatalf("Readable = %d, %v, want %d, %v", n, err, want, wantErr)
	}
}

func (e ends) writable(t testing.TB, need, want int, wantErr error) {
	t.Helper()
	if n, err := e.p.Writable(need); n != want || err != wantErr {
		t.Fatalf("Writable(%d) = %d, %v, want %d, %v", need, n, err, want, wantErr)
	}
}

// tryRewind makes the next Writable move the origin, provided that the ring is
// empty: rings that are too small to be quiet have a moving origin as well.
func tryRewind(p *Producer) {
	p.window, p.commits = quietWindow, 1<<20
	p.turned, p.turn = p.tail-1, p.tail
}

// stream fills b with bytes that tell their index.
func stream(b []byte, index uint64) []byte {
	for i := range b {
		b[i] = streamByte(index + uint64(i))
	}
	return b
}

// streamByte has no period that a ring's capacity divides, and is never 0.
func streamByte(i uint64) byte { return byte(i%251) + 1 }

func TestMemorySize(t *testing.T) {
	for _, size := range []int{0, 1, HeaderSize - 1, HeaderSize, HeaderSize + 1, HeaderSize + 32,
		HeaderSize + 63, HeaderSize + 65, HeaderSize + 96, 2*HeaderSize - 1, 64, 4096 + 3*4096} {
		bad, good := make([]byte, size), make([]byte, MemorySize(64))
		for _, m := range [][2][]byte{{bad, good}, {good, bad}, {bad, bad}} {
			if p, err := NewProducer(m[0], m[1]); err == nil || p != nil {
				t.Errorf("NewProducer with %d and %d bytes = %v, %v", len(m[0]), len(m[1]), p, err)
			}
			if c, err := NewConsumer(m[0], m[1]); err == nil || c != nil {
				t.Errorf("NewConsumer with %d and %d bytes = %v, %v", len(m[0]), len(m[1]), c, err)
			}
		}
	}
	if _, err := NewProducer(nil, nil); err == nil {
		t.Error("NewProducer without memory succeeds")
	}
}

func TestMemoryAlignment(t *testing.T) {
	good := make([]byte, MemorySize(64))
	backing := make([]byte, MemorySize(64)+8)
	for shift := 1; shift < 8; shift++ {
		bad := backing[shift : shift+MemorySize(64)]
		for _, m := range [][2][]byte{{bad, good}, {good, bad}} {
			if _, err := NewProducer(m[0], m[1]); !errors.Is(err, errAlignment) {
				t.Errorf("NewProducer with memory %d bytes off: %v", shift, err)
			}
			if _, err := NewConsumer(m[0], m[1]); !errors.Is(err, errAlignment) {
				t.Errorf("NewConsumer with memory %d bytes off: %v", shift, err)
			}
		}
	}
}

func TestValidCapacity(t *testing.T) {
	for _, c := range []int{64, 128, 4096, 1 << 20, 1 << 30} {
		if !ValidCapacity(c) {
			t.Errorf("ValidCapacity(%d) = false", c)
		}
	}
	for _, c := range []int{-64, -1, 0, 1, 32, 63, 65, 96, 4095, 1<<30 + 1, 1<<31 - 1} {
		if ValidCapacity(c) {
			t.Errorf("ValidCapacity(%d) = true", c)
		}
	}
}

// The two ends of a connection may have rings of different sizes.
func TestCapacityPerDirection(t *testing.T) {
	a, b := make([]byte, MemorySize(64)), make([]byte, MemorySize(256))
	ab, ba := endsOver(t, a, b, 0), endsOver(t, b, a, 0)
	for _, d := range []struct {
		e    ends
		want int
	}{{ab, 64}, {ba, 256}} {
		if p, c := d.e.p.Capacity(), d.e.c.Capacity(); p != d.want || c != d.want {
			t.Errorf("capacities %d, %d, want %d", p, c, d.want)
		}
		d.e.writable(t, 1, d.want, nil)
	}
	ab.write(t, []byte("ping"))
	ba.write(t, []byte("pong!"))
	ab.read(t, []byte("ping"))
	ba.read(t, []byte("pong!"))
}

// Every capacity, filled to the brim at every place where it can wrap around.
func TestFillAndDrain(t *testing.T) {
	for capacity := MinCapacity; capacity <= 1<<20; capacity *= 2 {
		for _, start := range starts {
			t.Run(fmt.Sprintf("%d from %#x", capacity, start), func(t *testing.T) {
				e := newEnds(t, capacity, start)
				full, small := make([]byte, capacity), make([]byte, capacity/4+1)
				index := start
				for range max(2, min(6, 1<<20/capacity)) {
					e.write(t, stream(full, index))
					e.writable(t, 1, 0, nil)
					if n, wake, err := e.p.Write([]byte{1}); n != 0 || wake || err != nil {
						t.Fatalf("Write to a full ring = %d, %v, %v", n, wake, err)
					}
					e.readable(t, capacity, nil)
					e.read(t, full)
					e.readable(t, 0, nil)
					index += uint64(capacity)

					e.write(t, stream(small, index))
					e.read(t, small)
					index += uint64(len(small))
				}
				if e.p.Produced() != index || e.c.Consumed() != index {
					t.Fatalf("produced %#x, consumed %#x, want %#x", e.p.Produced(), e.c.Consumed(), index)
				}
			})
		}
	}
}

// With one byte always in flight the origin stays, so the ring wraps at its
// end: two slices for the producer and for the consumer, split alike.
func TestWrapAround(t *testing.T) {
	for _, start := range starts {
		e := newEnds(t, 64, start)
		e.write(t, stream(make([]byte, 50), start))
		e.read(t, stream(make([]byte, 49), start))

		e.writable(t, 40, 63, nil)
		first, second := e.p.Reserve(40)
		if len(first) != 14 || len(second) != 26 || cap(first) != 14 || cap(second) != 26 {
			t.Fatalf("Reserve(40) = %d/%d and %d/%d bytes", len(first), cap(first), len(second), cap(second))
		}
		if &first[0] != &e.a[HeaderSize+50] || &second[0] != &e.a[HeaderSize] {
			t.Fatal("Reserve(40) is not at the end and the start of the data")
		}
		whole := stream(make([]byte, 40), start+50)
		copy(first, whole)
		copy(second, whole[len(first):])
		e.readable(t, 1, nil)
		e.p.Commit(40)

		e.read(t, []byte{streamByte(start + 49)})
		e.readable(t, 40, nil)
		first, second = e.c.Peek(40)
		if len(first) != 14 || len(second) != 26 || !bytes.Equal(append(bytes.Clone(first), second...), whole) {
			t.Fatalf("Peek(40) = %x, %x", first, second)
		}
		if first, second = e.c.Peek(14); len(first) != 14 || second != nil {
			t.Fatalf("Peek(14) = %d, %d bytes", len(first), len(second))
		}
		e.c.Release(10)
		e.readable(t, 30, nil)
		e.read(t, whole[10:])
	}
}

// What is reserved is invisible, and what is peeked is kept, until Commit and
// Release.
func TestNothingBeforeCommitAndRelease(t *testing.T) {
	e := newEnds(t, 64, 0)
	e.writable(t, 64, 64, nil)
	first, _ := e.p.Reserve(64)
	stream(first, 0)
	e.readable(t, 0, nil)
	e.p.Commit(20)
	e.readable(t, 20, nil)
	e.p.Commit(44)
	e.readable(t, 20, nil) // known bytes first, without a look at the peer
	e.c.Peek(20)
	e.writable(t, 1, 0, nil)
	e.c.Release(5)
	e.writable(t, 5, 5, nil)
	e.read(t, stream(make([]byte, 15), 5))
	e.read(t, stream(make([]byte, 44), 20))
}

func TestNothingToDo(t *testing.T) {
	e := newEnds(t, 64, 0)
	for range 3 {
		if n, wake, err := e.p.Write(nil); n != 0 || wake || err != nil {
			t.Fatalf("Write(nil) = %d, %v, %v", n, wake, err)
		}
		if n, wake, err := e.c.Read(make([]byte, 8)); n != 0 || wake || err != nil {
			t.Fatalf("Read of an empty ring = %d, %v, %v", n, wake, err)
		}
		if n, wake, err := e.c.Read(nil); n != 0 || wake || err != nil {
			t.Fatalf("Read(nil) = %d, %v, %v", n, wake, err)
		}
		if e.p.Commit(0) || e.c.Release(0) {
			t.Fatal("no progress wakes")
		}
	}
}

// A Read takes what there is, and no more than asked for.
func TestShortReadAndWrite(t *testing.T) {
	e := newEnds(t, 64, 0)
	if n, _, err := e.p.Write(stream(make([]byte, 100), 0)); n != 64 || err != nil {
		t.Fatalf("Write of 100 bytes = %d, %v", n, err)
	}
	e.read(t, stream(make([]byte, 10), 0))
	if n, _, err := e.p.Write(stream(make([]byte, 100), 64)); n != 10 || err != nil {
		t.Fatalf("Write of 100 bytes = %d, %v", n, err)
	}
	e.read(t, stream(make([]byte, 54), 10))
	b := make([]byte, 100)
	if n, _, err := e.c.Read(b); n != 10 || err != nil || !bytes.Equal(b[:10], stream(make([]byte, 10), 64)) {
		t.Fatalf("Read of 100 bytes = %d, %v", n, err)
	}
	if !bytes.Equal(b[10:], make([]byte, 90)) {
		t.Fatal("Read wrote past what it returned")
	}
}
