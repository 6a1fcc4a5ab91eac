package sharedring

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"testing"
	"time"
)

func TestSendReceive(t *testing.T) {
	s, r := pair[uint32](t, 100)
	// (4096-64)/4: the format fills the page.
	if page := os.Getpagesize(); s.Capacity() != (page-64)/4 || r.Capacity() != s.Capacity() {
		t.Errorf("capacities %d and %d, want %d", s.Capacity(), r.Capacity(), (page-64)/4)
	}
	full := s.Capacity()
	next, want := uint32(0), uint32(0)
	buf := make([]uint32, full+1)
	// Sizes that leave every offset at the end of the ring at some time.
	for _, n := range []int{1, full, 7, full - 1, 0, 3, full, full / 2, full / 3, 1} {
		out := make([]uint32, n)
		for i := range out {
			out[i] = next
			next++
		}
		got, st, err := s.TrySend(out)
		if got != n || err != nil || st != (Status{Remaining: full - n, Signalled: n > 0}) {
			t.Fatalf("send %d: %d, %+v, %v", n, got, st, err)
		}
		if free, err := s.Free(); free != full-n || err != nil {
			t.Errorf("Free = %d, %v; want %d", free, err, full-n)
		}
		if l, err := r.Len(); l != n || err != nil {
			t.Errorf("Len = %d, %v; want %d", l, err, n)
		}
		got, st, err = r.TryReceive(buf)
		if got != n || err != nil || st != (Status{Signalled: n == full}) {
			t.Fatalf("receive %d: %d, %+v, %v", n, got, st, err)
		}
		for _, v := range buf[:n] {
			if v != want {
				t.Fatalf("received %d, want %d", v, want)
			}
			want++
		}
	}
	if n, st, err := s.TrySend(make([]uint32, full+5)); n != full || st.Remaining != 0 || !st.Signalled || err != nil {
		t.Errorf("send too much: %d, %+v, %v", n, st, err)
	}
	if n, st, err := s.TrySend(buf[:1]); n != 0 || st != (Status{}) || err != nil {
		t.Errorf("send into a full queue: %d, %+v, %v", n, st, err)
	}
}

func TestRaw(t *testing.T) {
	s, r := pair[float64](t, 10)
	full := s.Capacity()
	// Move the indices to the middle, so that there are two pieces.
	half := full / 2
	s.Send(make([]float64, half))
	r.Receive(make([]float64, half))

	st, err := s.SendRaw(func(p Raw[float64]) int {
		if p.Len() != full-half {
			t.Errorf("piece of %d, want %d", p.Len(), full-half)
		}
		for i := range p.Len() {
			p.Store(i, float64(i))
		}
		return p.Len()
	})
	if err != nil || st != (Status{Remaining: half, Signalled: true}) {
		t.Fatalf("%+v, %v", st, err)
	}
	st, err = s.SendTrusted(func(p []float64) int { p[0], p[1] = 0.5, 1.5; return 2 })
	if err != nil || st != (Status{Remaining: half - 2}) {
		t.Fatalf("%+v, %v", st, err)
	}
	var head [3]float64
	st, err = r.ReceiveRaw(func(p Raw[float64]) int {
		if p.CopyTo(head[:]) != 3 || p.Load(2) != 2 || len(p.Bytes()) != 8*p.Len() || p.Slice(1, 3).Load(1) != 2 {
			t.Error("views differ")
		}
		return p.Len()
	})
	if err != nil || st.Remaining != 2 || head != [3]float64{0, 1, 2} {
		t.Fatalf("%+v, %v, %v", st, err, head)
	}
	// The rest is at the start of the ring.
	st, err = r.ReceiveTrusted(func(p []float64) int {
		if !slices.Equal(p, []float64{0.5, 1.5}) {
			t.Errorf("piece %v", p)
		}
		return len(p)
	})
	if err != nil || st != (Status{}) {
		t.Fatalf("%+v, %v", st, err)
	}
	// An empty queue calls nobody, neither does a full one.
	if _, err := r.ReceiveRaw(func(Raw[float64]) int { t.Error("called"); return 0 }); err != nil {
		t.Error(err)
	}
	s.Send(make([]float64, full))
	if _, err := s.SendRaw(func(Raw[float64]) int { t.Error("called"); return 0 }); err != nil {
		t.Error(err)
	}
}

// A callback's mistake moves nothing and is forgiven.
func TestRawMistakes(t *testing.T) {
	s, r := pair[uint16](t, 10)
	for _, n := range []int{-1, s.Capacity() + 1} {
		if _, err := s.SendRaw(func(Raw[uint16]) int { return n }); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("send of %d: %v", n, err)
		}
	}
	s.Send([]uint16{7})
	for _, n := range []int{-1, 2} {
		if _, err := r.ReceiveTrusted(func([]uint16) int { return n }); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("receive of %d: %v", n, err)
		}
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		r.ReceiveRaw(func(Raw[uint16]) int { panic("oops") })
	}()
	var got [2]uint16
	if n, err := r.Receive(got[:]); n != 1 || err != nil || got[0] != 7 {
		t.Error(n, err, got)
	}
	// A piece ends where it ends, also for append.
	s.SendTrusted(func(p []uint16) int {
		if cap(p) != len(p) {
			t.Errorf("capacity %d of a piece of %d", cap(p), len(p))
		}
		return 0
	})
}

// More than fits goes through in both directions of waiting.
func TestBlocking(t *testing.T) {
	s, r := pair[uint64](t, 600)
	const total = 200_000
	go func() {
		out := make([]uint64, 0, 1999)
		for i := range uint64(total) {
			if out = append(out, i); len(out) == cap(out) || i == total-1 {
				if n, err := s.Send(out); n != len(out) || err != nil {
					t.Errorf("sent %d of %d: %v", n, len(out), err)
				}
				out = out[:0]
			}
		}
	}()
	within(t, "the transfer", func() {
		buf := make([]uint64, 77)
		for want := uint64(0); want < total; {
			n, err := r.Receive(buf)
			if err != nil || n == 0 {
				t.Errorf("received %d: %v", n, err)
				return
			}
			for _, v := range buf[:n] {
				if v != want {
					t.Errorf("received %d, want %d", v, want)
					return
				}
				want++
			}
		}
	})
}

// One item at a time: each is a wake-up in one direction at least.
func TestPingPong(t *testing.T) {
	s1, r1 := pair[uint64](t, 1)
	s2, r2 := pair[uint64](t, 1)
	const rounds = 20_000
	go func() {
		var v [1]uint64
		for range rounds {
			if _, err := r1.Receive(v[:]); err != nil {
				t.Error(err)
			}
			if _, err := s2.Send(v[:]); err != nil {
				t.Error(err)
			}
		}
	}()
	within(t, "all rounds", func() {
		for i := range uint64(rounds) {
			var v [1]uint64
			_, err1 := s1.Send([]uint64{i})
			_, err2 := r2.Receive(v[:])
			if err1 != nil || err2 != nil || v[0] != i {
				t.Errorf("round %d: %v, %v, %d", i, err1, err2, v[0])
				return
			}
		}
	})
}

func TestDeadline(t *testing.T) {
	s, r := pair[byte](t, 1)
	within(t, "waiting for a deadline", func() {
		for _, at := range []time.Time{time.Now().Add(-time.Hour), time.Now().Add(20 * time.Millisecond)} {
			r.SetDeadline(at)
			if n, err := r.Receive(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("receive: %d, %v", n, err)
			}
		}
		s.SetDeadline(time.Now().Add(20 * time.Millisecond))
		if n, err := s.Send(make([]byte, s.Capacity()+1)); n != s.Capacity() || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("send: %d, %v", n, err)
		}
		// What need not wait is not bounded.
		if n, err := r.Receive(make([]byte, 3)); n != 3 || err != nil {
			t.Errorf("receive: %d, %v", n, err)
		}
		s.SetDeadline(time.Time{})
		if st, err := s.WaitWritable(t.Context()); st.Remaining != 3 || err != nil {
			t.Errorf("wait: %+v, %v", st, err)
		}
	})
}

func TestContext(t *testing.T) {
	s, r := pair[byte](t, 1)
	within(t, "waiting for a context", func() {
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if n, err := r.ReceiveContext(ctx, make([]byte, 1)); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("receive: %d, %v", n, err)
			}
			if st, err := r.WaitReadable(ctx); st.Remaining != 0 || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("wait: %+v, %v", st, err)
			}
			cancel()
		}
		// The end is usable afterwards and its own deadline is back.
		s.Send([]byte{9})
		if st, err := r.WaitReadable(t.Context()); st.Remaining != 1 || err != nil {
			t.Errorf("wait: %+v, %v", st, err)
		}
		var b [1]byte
		if n, err := r.ReceiveContext(t.Context(), b[:]); n != 1 || err != nil || b[0] != 9 {
			t.Error(n, err, b)
		}
		r.SetDeadline(time.Now().Add(time.Millisecond))
		if _, err := r.ReceiveContext(t.Context(), b[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.SendContext(cancelled, b[:]); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestClose(t *testing.T) {
	s, r := pair[byte](t, 1)
	for _, end := range []struct {
		name  string
		block func() error
		close func() error
	}{
		// In this order: the sender fills the queue.
		{"receive", func() error { _, err := r.Receive(make([]byte, 1)); return err }, r.Close},
		{"send", func() error { _, err := s.Send(make([]byte, s.Capacity()+1)); return err }, s.Close},
	} {
		name := end.name
		result := make(chan error, 1)
		started := make(chan struct{})
		go func() { close(started); result <- end.block() }()
		<-started
		within(t, name, func() {
			if err := end.close(); err != nil {
				t.Error(err)
			}
			if err := <-result; !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s: %v", name, err)
			}
			if err := end.block(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s after Close: %v", name, err)
			}
		})
	}
	_, _, err1 := r.TryReceive(nil)
	_, err2 := r.ReceiveRaw(nil)
	_, err3 := r.Len()
	_, err4 := r.WaitReadable(t.Context())
	_, err5 := s.Free()
	for i, err := range []error{err1, err2, err3, err4, err5, r.SetDeadline(time.Time{})} {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// Close comes in the midst of everything.
func TestCloseRaces(t *testing.T) {
	checkLeaks(t)
	for range 300 {
		s, err := NewSender[uint64](8)
		if err != nil {
			t.Fatal(err)
		}
		r, err := OpenReceiver[uint64](8, s.Memfd(), s.EmptySignal(), s.FullSignal())
		if err != nil {
			t.Fatal(err)
		}
		within(t, "an orderly end", func() {
			done := make(chan struct{}, 4)
			run := func(f func() error) {
				go func() {
					for f() == nil {
					}
					done <- struct{}{}
				}()
			}
			run(func() error { _, err := s.Send(make([]uint64, 300)); return err })
			run(func() error { _, err := r.Receive(make([]uint64, 100)); return err })
			run(func() error { return s.SetDeadline(time.Now().Add(time.Hour)) })
			run(func() error {
				_, err := r.ReceiveRaw(func(p Raw[uint64]) int { return p.Len() / 2 })
				return err
			})
			go r.Close()
			go s.Close()
			for range 4 {
				<-done
			}
			if err := errors.Join(s.Close(), r.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}

// The signals are the format's: one is added when the queue was empty, or full,
// and somebody with an event loop of his own reads it.
func TestSignals(t *testing.T) {
	s, r := pair[byte](t, 1)
	value := func(f *os.File) uint64 {
		var b [8]byte
		if _, err := f.Read(b[:]); err != nil {
			t.Error(err)
		}
		return binary.NativeEndian.Uint64(b[:])
	}
	within(t, "reading signals", func() {
		var b [1]byte
		for range 3 {
			s.Send(b[:]) // signals: it was empty
			s.Send(b[:])
			r.Receive(b[:])
			r.Receive(b[:])
		}
		if v := value(r.EmptySignal()); v != 3 {
			t.Errorf("empty signal is %d, want 3", v)
		}
		s.Send(make([]byte, s.Capacity()))
		r.Receive(b[:]) // signals: it was full
		r.Receive(b[:])
		if v := value(s.FullSignal()); v != 1 {
			t.Errorf("full signal is %d, want 1", v)
		}
	})
}
