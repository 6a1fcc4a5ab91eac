package ring

import (
	"bytes"
	"fmt"
	"testing"
)

// touched returns how much of the data in mem has ever been written, given
// that every payload byte is not 0.
func touched(mem []byte) int {
	return len(bytes.TrimRight(mem[HeaderSize:], "\x00"))
}

// A connection of small messages stays in a small part of a large memory, for
// as long as it lives.
func TestQuietWindow(t *testing.T) {
	const capacity = 1 << 20
	for _, test := range []struct{ size, want int }{
		{1, quietWindow + 1},
		{200, quietWindow + 200},
		{700, 64 * 700},
	} {
		for _, start := range starts {
			e := newEnds(t, capacity, start)
			msg := make([]byte, test.size)
			for i := range uint64(min(3*capacity/test.size, 100_000)) {
				e.write(t, stream(msg, start+i*uint64(test.size)))
				e.read(t, msg)
			}
			if n := touched(e.a); n > test.want {
				t.Errorf("messages of %d from %#x: %d bytes of the memory used, want at most %d", test.size, start, n, test.want)
			}
		}
	}
}

// One large message uses more of the memory, but not all of it for ever.
func TestQuietAfterBurst(t *testing.T) {
	const capacity, burst, size = 1 << 20, 100 << 10, 100
	e := newEnds(t, capacity, 0)
	var index uint64
	exchange := func(n int) {
		b := stream(make([]byte, n), index)
		e.write(t, b)
		e.read(t, b)
		index += uint64(n)
	}
	exchange(burst)
	for range 3 * capacity / size {
		exchange(size)
	}
	if n := touched(e.a); n > 4*burst {
		t.Errorf("%d bytes of the memory used after a message of %d", n, burst)
	}
}

// Bulk data makes use of the whole ring.
func TestWindowGrows(t *testing.T) {
	const capacity, inFlight = 256 << 10, 192 << 10
	e := newEnds(t, capacity, 0)
	var produced, consumed uint64
	chunk := make([]byte, 4<<10)
	for produced < 8*capacity {
		e.write(t, stream(chunk, produced))
		produced += uint64(len(chunk))
		if produced-consumed > inFlight {
			e.read(t, stream(chunk, consumed))
			consumed += uint64(len(chunk))
		}
	}
	if n := touched(e.a); n != capacity {
		t.Errorf("%d of %d bytes used", n, capacity)
	}
}

// Whatever the pattern of chunks, a move of the origin leaves the bytes in
// flight where they are, also those that the consumer does not know of yet.
func TestRewindKeepsBytesInFlight(t *testing.T) {
	for _, capacity := range []int{64, 256, 16 << 10, 64 << 10} {
		for _, start := range starts {
			t.Run(fmt.Sprintf("%d from %#x", capacity, start), func(t *testing.T) {
				e := newEnds(t, capacity, start)
				r := newRand(uint64(capacity))
				produced, consumed := start, start
				origins := map[uint64]bool{}
				for range min(20_000, 1<<27/capacity) {
					n := 1 + r.IntN(capacity)
					if r.IntN(4) > 0 {
						n = 1 + n/16
					}
					if r.IntN(2) == 0 {
						inFlight := produced - consumed
						tryRewind(e.p)
						got, _, err := e.p.Write(stream(make([]byte, n), produced))
						if err != nil {
							t.Fatal(err)
						}
						produced += uint64(got)
						checkInFlight(t, e, consumed, inFlight)
						origins[e.p.origin] = true
						continue
					}
					b := make([]byte, n)
					got, _, err := e.c.Read(b)
					if err != nil {
						t.Fatal(err)
					}
					if want := stream(make([]byte, got), consumed); !bytes.Equal(b[:got], want) {
						t.Fatalf("at %#x: read %x, want %x", consumed, b[:got], want)
					}
					consumed += uint64(got)
				}
				if len(origins) < 4 {
					t.Errorf("the origin was moved %d times only", len(origins))
				}
			})
		}
	}
}

// checkInFlight looks for the n bytes from index on where the published
// origin says that they are.
func checkInFlight(t *testing.T, e ends, index, n uint64) {
	t.Helper()
	data := e.a[HeaderSize:]
	origin := e.p.mine.origin.load()
	for i := index; i != index+n; i++ {
		if got := data[(i-origin)%uint64(len(data))]; got != streamByte(i) {
			t.Fatalf("byte %#x in flight became %#x, want %#x", i, got, streamByte(i))
		}
	}
}

// The origin never moves while a byte is in flight, even one that has been
// consumed but not released.
func TestNoRewindWhileInFlight(t *testing.T) {
	e := newEnds(t, 64, 0)
	e.write(t, stream(make([]byte, 64), 0))
	e.read(t, stream(make([]byte, 63), 0))
	first, _ := e.c.Peek(1)
	tryRewind(e.p)
	e.writable(t, 1, 63, nil)
	if o := e.p.mine.origin.load(); o != 0 {
		t.Fatalf("origin %d with a byte in flight", o)
	}
	e.write(t, stream(make([]byte, 63), 64))
	if first[0] != streamByte(63) {
		t.Fatal("the byte in flight was overwritten")
	}
	e.c.Release(1)
	e.read(t, stream(make([]byte, 63), 64))
	e.write(t, []byte{streamByte(127)})
	e.read(t, []byte{streamByte(127)})
	tryRewind(e.p)
	e.writable(t, 1, 64, nil)
	if got := e.p.mine.origin.load(); got != 128 {
		t.Fatalf("origin %d once empty, want 128", got)
	}
}
