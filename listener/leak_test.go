package listener_test

import (
	"os"
	"runtime"
	"strings"
	"testing"
)

// stacks returns one string for each goroutine.
func stacks() []string {
	for size := 1 << 20; ; size *= 2 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size {
			return strings.Split(string(buf[:n]), "\n\n")
		}
	}
}

// goroutinesIn returns how many goroutines have all of parts in their stack.
func goroutinesIn(parts ...string) int {
	n := 0
next:
	for _, s := range stacks() {
		for _, p := range parts {
			if !strings.Contains(s, p) {
				continue next
			}
		}
		n++
	}
	return n
}

// descriptors returns the number of open descriptors, 0 where the system does
// not tell.
func descriptors() int {
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(d)
}

// noLeaks checks, after everything else has been cleaned up, that the test
// has left no goroutine and no descriptor behind. It must be called first.
func noLeaks(t *testing.T) {
	t.Helper()
	// The poller opens its own descriptors with the first socket and keeps
	// them.
	listenUnix(t).Close()
	fds, routines := descriptors(), runtime.NumGoroutine()
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		eventually(t, "descriptors back to where they were", func() bool { return descriptors() <= fds })
		eventually(t, "goroutines back to where they were", func() bool { return runtime.NumGoroutine() <= routines })
	})
}
