package doorbell

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// observe returns how often the bell has been seen to ring.
func observe(t *testing.T, b *Bell) *int {
	t.Helper()
	n := new(int)
	if err := b.Observe(func() { *n++ }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestObserve(t *testing.T) {
	a, aFD := newBell(t)
	b, bFD := newBell(t)
	toA, toB := newRinger(t, aFD), newRinger(t, bFD)
	rung := [2]*int{observe(t, a), observe(t, b)}
	look := func(what string, want ...int) {
		t.Helper()
		Look()
		for i, n := range rung {
			if *n != want[i] {
				t.Errorf("%s: %d rings are seen of bell %d, want %d", what, *n, i, want[i])
			}
			*n = 0
		}
	}
	look("at first", 1, 1)
	look("quiet", 0, 0)
	toA.Ring()
	look("rung", 1, 0)
	look("seen", 0, 0)
	toB.Ring()
	toB.Ring()
	look("rung twice", 0, 1)

	// The descriptor of toA has it open still.
	a.Close()
	toA.Ring()
	toB.Ring()
	look("closed", 0, 1)
	if err := a.Observe(func() {}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("observe a closed bell: %v", err)
	}

	epoll := lookout.epoll
	b.Close()
	b.Close()
	toB.Ring()
	look("all are closed", 0, 0)
	if _, err := unix.FcntlInt(uintptr(epoll), unix.F_GETFD, 0); err != unix.EBADF {
		t.Errorf("the last has left an epoll instance behind: %v", err)
	}
	if err := b.Observe(func() {}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("observe a closed bell: %v", err)
	}
	if _, err := unix.FcntlInt(uintptr(lookout.epoll), unix.F_GETFD, 0); err != unix.EBADF {
		t.Errorf("a closed one has left an epoll instance behind: %v", err)
	}
}

// Of more bells than a look tells of, none is forgotten.
func TestObserveMany(t *testing.T) {
	const bells = 200
	var rung []*int
	var ringers []*Ringer
	for range bells {
		b, fd := newBell(t)
		rung = append(rung, observe(t, b))
		ringers = append(ringers, newRinger(t, fd))
	}
	for round := range 3 {
		for range 4 {
			Look()
		}
		for i, n := range rung {
			if *n != 1 {
				t.Fatalf("round %d: %d rings are seen of bell %d, want 1", round, *n, i)
			}
			*n = 0
			ringers[i].Ring()
		}
	}
}

// Bells come and go while others look, and leave nothing behind.
func TestObserveRaces(t *testing.T) {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
				fd, err := Create()
				if err != nil {
					t.Error(err)
					return
				}
				b, err := Open(fd)
				if err != nil {
					t.Error(err)
					return
				}
				var one sync.WaitGroup
				one.Go(func() {
					if err := b.Observe(Look); err != nil && err != net.ErrClosed {
						t.Error(err)
					}
				})
				one.Go(b.Close)
				one.Go(Look)
				one.Wait()
			}
		})
	}
	all.Wait()
	if n := len(lookout.bells); n != 0 {
		t.Errorf("%d bells are left", n)
	}
}
