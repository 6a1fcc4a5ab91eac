package ring

import (
	"bytes"
	"io"
	"testing"
)

// model is a ring in plain terms: a buffer of the bytes in flight, and what
// each end has asked for. It counts from 0, whatever the indices start at.
type model struct {
	capacity int
	inFlight bytes.Buffer
	produced int
	consumed int
	known    int // bytes that the consumer has already found

	dataAsked  int // wake the consumer when produced passes this, -1 for never
	spaceAsked int // wake the producer when consumed reaches this, -1 for never

	writeClosed, readClosed bool
}

func (m *model) free() int { return m.capacity - m.inFlight.Len() }

// produce returns whether producing b wakes the consumer.
func (m *model) produce(b []byte) (wake bool) {
	wake = m.dataAsked >= m.produced && m.dataAsked < m.produced+len(b)
	m.inFlight.Write(b)
	m.produced += len(b)
	return wake
}

// consume returns the next n bytes and whether consuming them wakes the
// producer.
func (m *model) consume(n int) (b []byte, wake bool) {
	wake = m.spaceAsked > m.consumed && m.spaceAsked <= m.consumed+n
	m.consumed += n
	m.known -= n
	return m.inFlight.Next(n), wake
}

// readable returns what the consumer finds, which may be less than all while
// it knows of some bytes.
func (m *model) readable() (int, error) {
	if m.known == 0 {
		m.known = m.inFlight.Len()
		if m.known == 0 && m.writeClosed {
			return 0, io.EOF
		}
	}
	return m.known, nil
}

// script is the source of a test's decisions.
type script struct{ b []byte }

func (s *script) more() bool { return len(s.b) > 0 }

// next returns the next byte, 0 after the end.
func (s *script) next() byte {
	if len(s.b) == 0 {
		return 0
	}
	c := s.b[0]
	s.b = s.b[1:]
	return c
}

// upTo returns a number from 0 to limit, both ends often.
func (s *script) upTo(limit int) int {
	switch c := int(s.next()); {
	case c < 8:
		return min(c, limit)
	case c >= 248:
		return max(limit-(255-c), 0)
	default:
		return int(uint64(limit) * uint64(c-8) / 239)
	}
}

// start returns a first index.
func (s *script) start() uint64 {
	switch c := s.next(); c % 4 {
	case 0:
		return 0
	case 1:
		return 1<<32 - uint64(c)
	case 2:
		return -uint64(c)
	default:
		return uint64(c)<<56 | uint64(s.next())<<24 | uint64(s.next())
	}
}

// runModel performs the operations of a script on a ring and on the model.
func runModel(t *testing.T, s *script) {
	capacity := MinCapacity << (s.next() % 6)
	start := s.start()
	e := newEnds(t, capacity, start)
	m := &model{capacity: capacity, dataAsked: -1, spaceAsked: -1}

	// writable checks what the producer says: at least what it needs, if there
	// is that much, and never more than there is.
	writable := func(need int) int {
		n, err := e.p.Writable(need)
		if m.readClosed {
			if n != 0 || err != ErrReadClosed {
				t.Fatalf("Writable(%d) = %d, %v after CloseRead", need, n, err)
			}
			return 0
		}
		if err != nil || n > m.free() || n < min(need, m.free()) {
			t.Fatalf("Writable(%d) = %d, %v with %d free", need, n, err, m.free())
		}
		return n
	}
	readable := func() int {
		n, err := e.c.Readable()
		want, wantErr := m.readable()
		if n != want || err != wantErr {
			t.Fatalf("Readable = %d, %v, want %d, %v", n, err, want, wantErr)
		}
		return n
	}
	next := func(n int) []byte { return stream(make([]byte, n), uint64(m.produced)) }

	for step := 0; s.more(); step++ {
		switch op := s.next() % 9; op {
		case 0: // Write, sometimes more than fits
			b := next(s.upTo(capacity + 10))
			if m.writeClosed {
				break
			}
			n, wake, err := e.p.Write(b)
			if m.readClosed {
				if n != 0 || wake || err != ErrReadClosed {
					t.Fatalf("step %d: Write = %d, %v, %v after CloseRead", step, n, wake, err)
				}
				break
			}
			if want := min(len(b), m.free()); n != want || err != nil {
				t.Fatalf("step %d: Write of %d = %d, %v, want %d", step, len(b), n, err, want)
			}
			if want := m.produce(b[:n]); wake != want {
				t.Fatalf("step %d: Write wakes: %v, want %v", step, wake, want)
			}
		case 1: // Reserve all, Commit a part
			n := writable(s.upTo(capacity))
			first, second := e.p.Reserve(n)
			if len(first)+len(second) != n {
				t.Fatalf("step %d: Reserve(%d) = %d and %d bytes", step, n, len(first), len(second))
			}
			b := next(n)
			copy(second, b[copy(first, b):])
			n = s.upTo(n)
			if m.writeClosed {
				n = 0
			}
			if wake, want := e.p.Commit(n), m.produce(b[:n]); wake != want {
				t.Fatalf("step %d: Commit wakes: %v, want %v", step, wake, want)
			}
		case 2: // Read, sometimes more than there is
			b := make([]byte, s.upTo(capacity+10))
			_, wantErr := m.readable()
			n, wake, err := e.c.Read(b)
			want, wantWake := m.consume(min(m.known, len(b)))
			if err != wantErr && len(b) > 0 || wake != wantWake || !bytes.Equal(b[:n], want) {
				t.Fatalf("step %d: Read of %d = %x, %v, %v, want %x, %v, %v", step, len(b), b[:n], wake, err, want, wantWake, wantErr)
			}
		case 3: // Peek a part, Release a part of it
			n := s.upTo(readable())
			first, second := e.c.Peek(n)
			got := append(bytes.Clone(first), second...)
			if want := m.inFlight.Bytes()[:n]; !bytes.Equal(got, want) {
				t.Fatalf("step %d: Peek(%d) = %x, want %x", step, n, got, want)
			}
			n = s.upTo(n)
			wake := e.c.Release(n)
			if _, want := m.consume(n); wake != want {
				t.Fatalf("step %d: Release wakes: %v, want %v", step, wake, want)
			}
		case 4:
			need := s.upTo(capacity)
			e.p.Announce(need)
			m.spaceAsked = m.produced + need - capacity
			writable(need)
		case 5:
			readable()
			e.c.Announce()
			m.dataAsked = m.consumed + m.known
			readable()
		case 6:
			need := s.upTo(capacity)
			if need%2 == 1 {
				tryRewind(e.p)
			}
			writable(need)
		case 7:
			readable()
		case 8: // a close, rarely
			switch s.next() {
			case 0:
				e.p.CloseWrite()
				m.writeClosed = true
			case 1:
				e.c.CloseRead()
				m.readClosed = true
			}
		}
		if p, c := e.p.Produced()-start, e.c.Consumed()-start; p != uint64(m.produced) || c != uint64(m.consumed) {
			t.Fatalf("step %d: produced %d, consumed %d, want %d, %d", step, p, c, m.produced, m.consumed)
		}
	}
}

// FuzzModel compares sequences of operations on a ring with a plain buffer.
func FuzzModel(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 255, 2, 255, 0, 255, 2, 100, 0, 200, 3, 255, 255})
	f.Add([]byte{0, 9, 5, 0, 40, 2, 40, 4, 250, 0, 255, 2, 7, 2, 7, 8, 0, 2, 255, 2, 255})
	f.Add([]byte{1, 2, 1, 255, 128, 5, 1, 255, 0, 3, 255, 100, 8, 1, 0, 20, 6, 9})
	f.Fuzz(func(t *testing.T, b []byte) { runModel(t, &script{b}) })
}

// TestModel is FuzzModel on long scripts that are the same in every run.
func TestModel(t *testing.T) {
	for seed := range uint64(400) {
		r := newRand(seed)
		b := make([]byte, 2000)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		b[0], b[1] = byte(seed), byte(seed/6)
		t.Run("", func(t *testing.T) { runModel(t, &script{b}) })
	}
}
