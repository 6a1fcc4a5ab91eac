package conformance

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// counts is what a process holds. Files and mappings read -1 where there is no /proc.
type counts struct {
	Goroutines int
	Files      int // descriptors
	Shared     int // mappings of files, memfds among them
	Anonymous  int // other mappings
}

func (c *counts) each(f *fields) {
	number(f, &c.Goroutines)
	number(f, &c.Files)
	number(f, &c.Shared)
	number(f, &c.Anonymous)
}

func takeCounts() (counts, error) {
	c := counts{Goroutines: runtime.NumGoroutine(), Files: -1, Shared: -1, Anonymous: -1}
	if runtime.GOOS != "linux" {
		return c, nil
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return c, err
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return c, err
	}
	c.Files, c.Shared, c.Anonymous = len(fds), 0, 0
	for line := range bytes.Lines(maps) {
		// address perms offset dev inode path (proc_pid_maps(5)); inode 0 is no file.
		if f := bytes.Fields(line); len(f) >= 5 && string(f[4]) != "0" {
			c.Shared++
		} else {
			c.Anonymous++
		}
	}
	return c, nil
}

// leaked compares with a baseline. Go's own memory comes and goes in anonymous mappings, so that
// there only as many as the tests made connections count as a leak.
func (c counts) leaked(base counts, connections int) bool {
	return c.Goroutines > base.Goroutines || c.Files > base.Files || c.Shared > base.Shared ||
		c.Anonymous >= base.Anonymous+connections
}

// counts returns the counts of this process and, unless ch is nil, of the child.
func (s *suite) counts(t *testing.T, ch *child) [2]counts {
	t.Helper()
	here, err := takeCounts()
	must(t, "counts", err)
	if ch == nil {
		return [2]counts{here}
	}
	p, err := ch.call(request{Op: "counts"})
	must(t, "counts", err)
	must(t, "counts", p.Err.unpack())
	return [2]counts{here, p.Counts}
}

// settle waits until both processes hold no more than in base, for a connection may be taken down
// after its Close has returned. It does not run the garbage collector: what only a finalizer
// releases is leaked.
func (s *suite) settle(t *testing.T, ch *child, base [2]counts, connections int) {
	t.Helper()
	limit := time.Now().Add(patience)
	for {
		now := s.counts(t, ch)
		if !now[0].leaked(base[0], connections) && !now[1].leaked(base[1], connections) {
			return
		}
		if time.Now().After(limit) {
			var there string
			if ch != nil {
				there = fmt.Sprintf(", there %+v, was %+v", now[1], base[1])
			}
			t.Fatalf("leak: here %+v, was %+v%s\n%s", now[0], base[0], there, stacks())
		}
		time.Sleep(time.Millisecond) // the rate of looking
	}
}

// testLeaks: connections leave nothing behind in either process, however they end.
func testLeaks(t *testing.T, s *suite) {
	cycle := func(i int) {
		near, far, stop, err := s.connect()
		must(t, "connect", err)
		defer stop()
		roundTrip(t, near, far)
		switch i % 6 {
		case 0: // in good order
			must(t, "CloseWrite", near.CloseWrite())
			wantEOF(t, far)
			must(t, "Close", far.Close())
			wantEOF(t, near)
			must(t, "Close", near.Close())
		case 1: // the far end first
			must(t, "Close", far.Close())
			must(t, "Close", near.Close())
		case 2: // with data unread
			put(t, far, "unread")
			put(t, near, "unread")
		case 3: // with a reader under way
			r := startRead(near)
			must(t, "Close", near.Close())
			r.wait(t)
		case 4: // with a deadline pending
			must(t, "SetDeadline", near.SetDeadline(after(never)))
			must(t, "SetDeadline", far.SetDeadline(after(never)))
		case 5: // after bulk
			const size = 300_000
			c := start(func() (int64, error) { return far.do(task{Op: "send", N: size}) })
			n, err := receive(near, size, 1)
			wantCount(t, "receive", n, err, size)
			c.wait(t)
		}
	}
	cycles := 120
	if brief() {
		cycles = 36
	}
	for i := range 12 { // what is allocated once per process
		cycle(i)
	}
	base := s.baseline(t, s.child)
	for i := range cycles {
		cycle(i)
	}
	s.settle(t, s.child, base, cycles)
}

// baseline takes the counts when they have stopped falling: connections of earlier tests may still
// be on their way out.
func (s *suite) baseline(t *testing.T, ch *child) [2]counts {
	t.Helper()
	base := s.counts(t, ch)
	for calm := 0; calm < 20; calm++ {
		time.Sleep(time.Millisecond)
		now := s.counts(t, ch)
		for i := range now {
			if now[i].Goroutines < base[i].Goroutines || now[i].Files < base[i].Files || now[i].Shared < base[i].Shared {
				calm = 0
			}
			base[i].Goroutines = min(base[i].Goroutines, now[i].Goroutines)
			base[i].Files = min(base[i].Files, now[i].Files)
			base[i].Shared = min(base[i].Shared, now[i].Shared)
			base[i].Anonymous = now[i].Anonymous
		}
	}
	return base
}
