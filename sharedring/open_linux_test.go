package sharedring

import (
	"slices"
	"testing"
)

// The other way round: the receiver makes the queue.
func TestOpenSender(t *testing.T) {
	checkLeaks(t)
	r, err := NewReceiver[[3]uint8](10)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, r)
	s, err := OpenSender[[3]uint8](10, r.Memfd(), r.EmptySignal(), r.FullSignal())
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, s)
	if n, err := s.Send([][3]uint8{{1, 2, 3}, {4, 5, 6}}); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	got := make([][3]uint8, 4)
	if n, err := r.Receive(got); n != 2 || err != nil || got[1] != [3]uint8{4, 5, 6} {
		t.Fatal(n, err, got)
	}
}

// A receiver that attaches late finds what was sent, also all that fits, and the
// signal of it.
func TestOpenLate(t *testing.T) {
	checkLeaks(t)
	s, err := NewSender[uint16](100)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, s)
	out := make([]uint16, s.Capacity())
	for i := range out {
		out[i] = uint16(i)
	}
	if n, _, err := s.TrySend(out); n != len(out) || err != nil {
		t.Fatal(n, err)
	}
	r, err := OpenReceiver[uint16](100, s.Memfd(), s.EmptySignal(), s.FullSignal())
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, r)
	in := make([]uint16, len(out))
	within(t, "receiving", func() {
		var b [8]byte
		if _, err := r.EmptySignal().Read(b[:]); err != nil {
			t.Error(err)
		}
		if n, st, err := r.TryReceive(in); n != len(out) || !st.Signalled || err != nil || !slices.Equal(in, out) {
			t.Error(n, st, err)
		}
	})
}
