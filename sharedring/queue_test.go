package sharedring

import (
	"bytes"
	"errors"
	"sync/atomic"
	"testing"
)

// counting counts signals.
type counting int

func (c *counting) signal() error { *c++; return nil }
func (*counting) close()          {}

// heapEnds returns two ends over ordinary memory, which the race detector sees,
// and which do not wait.
func heapEnds(length, size int) (s, r *end) {
	count, ring := new(atomic.Uintptr), make([]byte, length*size)
	one := func() *end {
		return &end{queue: queue{count: count, length: length}, ring: ring, size: size, notify: new(counting)}
	}
	return one(), one()
}

// FuzzModel compares a queue with a slice. Each byte of ops is an operation: the
// top bit says which, the others how many items.
func FuzzModel(f *testing.F) {
	f.Add(uint8(1), uint8(1), []byte{0x01, 0x81})
	f.Add(uint8(5), uint8(3), []byte{0x05, 0x82, 0x02, 0x87, 0x7f, 0xff})
	f.Add(uint8(40), uint8(8), []byte{30, 0x80 | 29, 30, 0x80 | 31, 40, 41, 0x80 | 40})
	f.Fuzz(func(t *testing.T, length, size uint8, ops []byte) {
		if length == 0 || size == 0 {
			t.Skip("no queue")
		}
		s, r := heapEnds(int(length), int(size))
		var model []byte
		next := byte(0)
		var woken [2]counting
		for _, op := range ops {
			n, queued := int(op&0x7f), len(model)/int(size)
			p := make([]byte, n*int(size))
			if op < 0x80 {
				for i := range p {
					p[i] = next
					next++
				}
				want := min(n, int(length)-queued)
				got, st, err := s.trySend(p)
				if got != want || err != nil || st != (Status{int(length) - queued - want, queued == 0 && want > 0}) {
					t.Fatalf("send %d with %d of %d: %d, %+v, %v", n, queued, length, got, st, err)
				}
				if st.Signalled {
					woken[0]++
				}
				model = append(model, p[:got*int(size)]...)
				continue
			}
			want := min(n, queued)
			got, st, err := r.tryReceive(p)
			if got != want || err != nil || st != (Status{queued - want, queued == int(length) && want > 0}) {
				t.Fatalf("receive %d with %d of %d: %d, %+v, %v", n, queued, length, got, st, err)
			}
			if !bytes.Equal(p[:got*int(size)], model[:got*int(size)]) {
				t.Fatalf("received %x, want %x", p, model[:got*int(size)])
			}
			if st.Signalled {
				woken[1]++
			}
			model = model[got*int(size):]
		}
		if *s.notify.(*counting) != woken[0] || *r.notify.(*counting) != woken[1] {
			t.Errorf("signals differ from what was reported")
		}
	})
}

// FuzzHostile sets the count to anything between operations. An end must fail
// with ErrCorrupt or stay within the ring.
func FuzzHostile(f *testing.F) {
	f.Add(uint8(5), []byte{1, 2, 0x82}, uint64(1))
	f.Add(uint8(5), []byte{1, 2, 0x82, 5, 0x85}, uint64(1)<<63)
	f.Add(uint8(255), []byte{100, 100, 0xff, 0xff}, ^uint64(0))
	f.Fuzz(func(t *testing.T, length uint8, ops []byte, count uint64) {
		if length == 0 {
			t.Skip("no queue")
		}
		const size = 3
		s, r := heapEnds(int(length), size)
		for i, op := range ops {
			if i%3 == 2 {
				s.queue.count.Store(uintptr(count))
				count = count*6364136223846793005 + 1442695040888963407
				if i%2 == 0 {
					count %= uint64(length) + 2
				}
			}
			e, move := s, s.trySend
			if op >= 0x80 {
				e, move = r, r.tryReceive
			}
			e.err = nil // let it go on
			n, st, err := move(make([]byte, int(op&0x7f)*size))
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			if q := e.queue; q.index < 0 || q.index >= q.length || n > q.length || err == nil && (st.Remaining < 0 || st.Remaining > q.length) {
				t.Fatalf("index %d, moved %d, %+v of %d", q.index, n, st, q.length)
			}
		}
	})
}
