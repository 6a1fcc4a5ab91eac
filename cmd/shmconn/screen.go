package main

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// screen prints the statistics of a proxy to standard error again and again, and its log between
// them. Its methods may be called by several goroutines at once.
type screen struct {
	c    *command
	line func(last traffic, since time.Duration) (string, traffic)
	live bool // one line that is written over
	stop chan struct{}
	wg   sync.WaitGroup

	mu    sync.Mutex // guards what follows, and the order of what is printed
	shown bool       // the cursor is in the live line
	last  traffic
	since time.Time
}

// start begins to print line this often or, if that is 0, each second in place if standard error is a
// terminal. It is followed by close.
func (s *screen) start(every time.Duration) {
	s.since = time.Now()
	if every == 0 && isTerminal(os.Stderr) {
		s.live, every = true, time.Second
	}
	if every <= 0 {
		return
	}
	s.wg.Go(func() {
		for tick := time.NewTicker(every); ; {
			select {
			case <-tick.C:
				s.print()
			case <-s.stop:
				tick.Stop()
				s.print()
				return
			}
		}
	})
}

// isTerminal reports whether f is a character device. Those that are not terminals, such as
// /dev/null, have no objections to a live line.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// print prints the statistics.
func (s *screen) print() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	text, last := s.line(s.last, now.Sub(s.since))
	s.last, s.since = last, now
	if s.live {
		fmt.Fprintf(os.Stderr, "\r\x1b[K%s", text) // erases to the end of the line
		s.shown = true
		return
	}
	s.c.logf("%s", text)
}

// logf prints a line of its own.
func (s *screen) logf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
		s.shown = false
	}
	s.c.logf(format, args...)
}

// close prints the statistics for the last time.
func (s *screen) close() {
	close(s.stop)
	s.wg.Wait()
	if s.shown {
		fmt.Fprintln(os.Stderr)
	}
}

// inBytes formats a number of bytes with three significant digits.
func inBytes(n float64) string {
	for _, unit := range []string{"B", "kB", "MB", "GB", "TB"} {
		if n < 999.5 {
			if unit == "B" {
				return fmt.Sprintf("%.0f B", n)
			}
			return fmt.Sprintf("%.3g %s", n, unit)
		}
		n /= 1000
	}
	return fmt.Sprintf("%.0f PB", n)
}
