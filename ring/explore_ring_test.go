//go:build ringhook

package ring

import (
	"flag"
	"fmt"
	"io"
	"testing"

	"github.com/shmconn/shmconn/internal/explore"
)

var preemptions = flag.Int("preemptions", 3, "explore schedules with up to this many preemptions")

// exploreEnds returns the two sides of one small ring on the explorer.
func exploreEnds(t *testing.T, x *explore.Explorer, start uint64, need int) (*sender, *receiver) {
	e := newEnds(t, 64, start)
	atA, atB := new(bell), new(bell)
	return &sender{e.p, atA, atB, func() int { return need }}, &receiver{e.c, atB, atA}
}

// put sends n bytes, after a move of the origin if that is possible.
func put(s *sender, n int) bool {
	tryRewind(s.p)
	return s.send(stream(make([]byte, n), s.p.Produced()))
}

// take receives once and checks what came.
func take(x *explore.Explorer, r *receiver, size int) error {
	index := r.c.Consumed()
	b := make([]byte, size)
	n, err := r.receive(b)
	for i, c := range b[:n] {
		if want := streamByte(index + uint64(i)); c != want {
			x.Problem("byte %#x is %#x, want %#x", index+uint64(i), c, want)
			return io.ErrUnexpectedEOF
		}
	}
	return err
}

// All bytes arrive, in order, and both ends come to an end: for chunks that
// find the ring empty, that fill it, and that do not fit.
func TestExploreStream(t *testing.T) {
	for _, test := range []struct {
		chunks     []int
		read, need int
	}{
		{[]int{1, 1}, 1, 1},
		{[]int{40, 40}, 64, 64},
		{[]int{64, 64}, 64, 32},
		{[]int{64, 64}, 40, 64},
		{[]int{50, 3, 60}, 50, 1},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			const start = 1<<64 - 70
			explore.Explore(t, *preemptions, func(x *explore.Explorer) func() {
				s, r := exploreEnds(t, x, start, test.need)
				total := 0
				for _, n := range test.chunks {
					total += n
				}
				x.Go(func() {
					for _, n := range test.chunks {
						put(s, n)
					}
					s.close()
				})
				var err error
				x.Go(func() {
					for err == nil {
						err = take(x, r, test.read)
					}
				})
				return func() {
					if n := r.c.Consumed() - start; err != io.EOF || n != uint64(total) {
						x.Problem("received %d bytes and %v, want %d", n, err, total)
					}
				}
			})
		})
	}
}

// A producer comes to an end when its consumer stops reading.
func TestExploreCloseRead(t *testing.T) {
	explore.Explore(t, *preemptions, func(x *explore.Explorer) func() {
		s, r := exploreEnds(t, x, 0, 1)
		sent := true
		x.Go(func() {
			for sent {
				sent = put(s, 64)
			}
		})
		x.Go(func() {
			take(x, r, 64)
			r.c.CloseRead()
			r.theirs.ring()
		})
		return func() {}
	})
}

// Two ends answer each other; each sleeps on one doorbell for both directions.
func TestExplorePingPong(t *testing.T) {
	explore.Explore(t, *preemptions, func(x *explore.Explorer) func() {
		a, b := make([]byte, MemorySize(64)), make([]byte, MemorySize(64))
		ab, ba := endsOver(t, a, b, 0), endsOver(t, b, a, 0)
		atA, atB := new(bell), new(bell)
		need := func() int { return 64 }
		const size, rounds = 64, 2
		x.Go(func() {
			s, r := &sender{ab.p, atA, atB, need}, &receiver{ba.c, atA, atB}
			for range rounds {
				put(s, size)
				take(x, r, size)
			}
			s.close()
		})
		x.Go(func() {
			s, r := &sender{ba.p, atB, atA, need}, &receiver{ab.c, atB, atA}
			for range rounds {
				take(x, r, size)
				put(s, size)
			}
			if err := take(x, r, size); err != io.EOF {
				x.Problem("end: %v", err)
			}
		})
		return func() {
			if n := ba.c.Consumed(); n != size*rounds {
				x.Problem("%d bytes came back", n)
			}
		}
	})
}

// A producer that dies at any access leaves its consumer with exactly what it
// had published, and awake: the hang-up is looked at first, the ring after.
func TestExploreCrash(t *testing.T) {
	explore.Explore(t, *preemptions, func(x *explore.Explorer) func() {
		s, r := exploreEnds(t, x, 0, 32)
		hungUp := false
		victim := x.Go(func() {
			for _, n := range []int{64, 20, 64} {
				put(s, n)
			}
		})
		x.Go(func() { // the kernel
			victim.Kill()
			hungUp = true
			r.mine.ring()
		})
		x.Go(func() {
			for {
				explore.Pause(nil)
				ended := hungUp
				if n, err := r.c.Readable(); n > 0 {
					take(x, r, 64)
				} else if ended || err != nil {
					return
				} else {
					r.park()
				}
			}
		})
		return func() {
			if n, tail := r.c.Consumed(), s.p.mine.tail.load(); n != tail {
				x.Problem("received %d bytes of %d", n, tail)
			}
		}
	})
}
