package doorbell

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/internal/doorbell/belltest"
)

// overflow makes every ring of the doorbell block.
func overflow(t *testing.T, fd int) {
	t.Helper()
	if err := belltest.Overflow(fd); err != nil {
		t.Fatal(err)
	}
}

// TestRingBlocked rings a doorbell at which write(2) blocks for ever.
func TestRingBlocked(t *testing.T) {
	fd, err := Create()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	overflow(t, fd)
	r := newRinger(t, fd)
	within(t, patience, "Ring", func() {
		start := time.Now()
		if err := r.Ring(); err != ErrBlocked {
			t.Errorf("ring: %v after %v, want ErrBlocked", err, time.Since(start))
		}
	})
	r.Close()
	r.Close()
}

// TestRingBlockedEachTime finds the counter full at each of several rings.
func TestRingBlockedEachTime(t *testing.T) {
	fd, err := Create()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	r := newRinger(t, fd)
	one := make([]byte, 8)
	binary.NativeEndian.PutUint64(one, 1)
	for i := range 3 {
		if i > 0 { // it has been emptied
			if _, err := unix.Write(fd, one); err != nil {
				t.Fatal(err)
			}
		}
		overflow(t, fd)
		within(t, patience, "Ring", func() {
			if err := r.Ring(); err != ErrBlocked {
				t.Errorf("ring %d: %v, want ErrBlocked", i, err)
			}
		})
	}
}

// TestRingBlockedAgain fills the counter whenever it has been emptied.
func TestRingBlockedAgain(t *testing.T) {
	fd, err := Create()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	overflow(t, fd)
	r := newRinger(t, fd)
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		var value [8]byte
		for {
			select {
			case <-stop:
				return
			default:
			}
			// Without blocking, or this would need to be freed as well.
			var pfd = []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT | unix.POLLIN}}
			unix.Poll(pfd, 0)
			if pfd[0].Revents&unix.POLLERR == 0 && pfd[0].Revents&unix.POLLIN == 0 {
				binary.NativeEndian.PutUint64(value[:], math.MaxUint64-1)
				unix.Write(fd, value[:])
			}
			if pfd[0].Revents&unix.POLLERR == 0 {
				if err := belltest.Signal(fd); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	within(t, patience, "Ring", func() {
		for range 3 {
			if err := r.Ring(); err != ErrBlocked {
				t.Errorf("ring: %v, want ErrBlocked", err)
			}
		}
	})
	close(stop)
	<-stopped
}

// TestRingFull rings a full doorbell that does not block: it is the peer's own
// loss.
func TestRingFull(t *testing.T) {
	fd, err := Create()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	overflow(t, fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	r := newRinger(t, fd)
	within(t, patience, "Ring", func() {
		if err := r.Ring(); err != nil {
			t.Errorf("ring: %v", err)
		}
	})
}

// TestSlowRingIsInnocent has the guard look at a ring that takes long though
// the counter is in order, as in a process that was stopped: it is not blamed
// on the peer.
func TestSlowRingIsInnocent(t *testing.T) {
	_, fd := newBell(t)
	r := newRinger(t, fd)
	g := r.guard
	g.Begin()
	for range 3 {
		g.look()
	}
	if g.End() {
		t.Error("peer is blamed")
	}
	if err := r.Ring(); err != nil {
		t.Errorf("ring: %v", err)
	}
	overflow(t, fd)
	r.Close()
	g.Begin()
	for range 3 {
		g.look() // after Close the descriptor may be another file
	}
	if g.End() {
		t.Error("peer is blamed after Close")
	}
}

// TestGuardStops has the guard's timer run while there are writes, and only
// then.
func TestGuardStops(t *testing.T) {
	_, fd := newBell(t)
	r := newRinger(t, fd)
	defer r.Close()
	g := r.guard
	for range 3 {
		if err := r.Ring(); err != nil {
			t.Fatal(err)
		}
		if !g.armed.Load() {
			t.Fatal("nobody guards a write")
		}
		g.look() // sees the write
		if !g.armed.Load() {
			t.Fatal("the guard leaves as soon as it has seen a write")
		}
		g.look() // sees no other
		if g.armed.Load() {
			t.Fatal("the guard stays without writes")
		}
	}
}
