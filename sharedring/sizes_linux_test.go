package sharedring

import (
	"os"
	"testing"
	"time"
)

// Items of all sizes go through a ring that they do not divide, more than once
// around.
func TestAllItemSizes(t *testing.T) {
	checkLeaks(t)
	for size := 1; size <= 4096; size++ {
		capacity := 1 + 3000/size
		s, err := newEnd("new", arrayType(size), capacity, nil, true, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := newEnd("open", arrayType(size), capacity, &[3]*os.File{s.memfd, s.empty, s.full}, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		bytes := (64 + capacity*size + os.Getpagesize() - 1) / os.Getpagesize() * os.Getpagesize()
		if want := (bytes - 64) / size; s.queue.length != want || r.queue.length != want {
			t.Fatalf("size %d: lengths %d and %d, want %d", size, s.queue.length, r.queue.length, want)
		}
		in, out := make([]byte, s.queue.length*size), make([]byte, s.queue.length*size)
		next, want := uint64(0), uint64(0)
		for round := range 6 {
			n := s.queue.length - round%min(3, s.queue.length)
			for j := range n {
				fillItem(out[j*size:][:size], next)
				next++
			}
			if got, _, err := s.trySend(out[:n*size]); got != n || err != nil {
				t.Fatalf("size %d: sent %d of %d: %v", size, got, n, err)
			}
			if got, _, err := r.tryReceive(in); got != n || err != nil {
				t.Fatalf("size %d: received %d of %d: %v", size, got, n, err)
			}
			for j := range n {
				item := make([]byte, size)
				if fillItem(item, want); string(item) != string(in[j*size:][:size]) {
					t.Fatalf("size %d: item %d is wrong", size, want)
				}
				want++
			}
		}
		for _, e := range []*end{s, r} {
			if err := e.close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Another size of item means another size of memory, mostly; where it does not,
// nothing can tell, and the ends keep within the memory all the same.
func TestWrongItemSize(t *testing.T) {
	checkLeaks(t)
	s, err := NewSender[uint64](10_000)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if r, err := OpenReceiver[uint32](10_000, s.Memfd(), s.EmptySignal(), s.FullSignal()); err == nil {
		r.Close()
		t.Error("opened with items of half the size")
	}
	if r, err := OpenReceiver[uint64](9_000, s.Memfd(), s.EmptySignal(), s.FullSignal()); err == nil {
		r.Close()
		t.Error("opened with another capacity")
	}

	small, err := NewSender[byte](10)
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close()
	r, err := OpenReceiver[[100]byte](10, small.Memfd(), small.EmptySignal(), small.FullSignal())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	small.Send(make([]byte, small.Capacity()))
	if _, _, err := r.TryReceive(make([][100]byte, 100)); err == nil {
		t.Error("received more items than fit")
	}
}

// Nothing is left of ends, made and opened in good order or in none.
func TestLeaks(t *testing.T) {
	checkLeaks(t)
	for range 1000 {
		r, err := NewReceiver[uint32](1000)
		if err != nil {
			t.Fatal(err)
		}
		s, err := OpenSender[uint32](1000, r.Memfd(), r.EmptySignal(), r.FullSignal())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenSender[uint32](1000, r.EmptySignal(), r.EmptySignal(), r.FullSignal()); err == nil {
			t.Fatal("opened")
		}
		if _, err := OpenSender[uint32](1000, r.Memfd(), r.EmptySignal(), r.Memfd()); err == nil {
			t.Fatal("opened")
		}
		s.Send([]uint32{1})
		r.SetDeadline(time.Now().Add(time.Minute))
		r.Receive(make([]uint32, 1))
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal("second Close: ", err)
		}
	}
}
