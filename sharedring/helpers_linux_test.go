package sharedring

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

const patience = 60 * time.Second

// pair returns both ends of a queue; what is left of them fails the test.
func pair[T any](t testing.TB, capacity int, opts ...Option) (*Sender[T], *Receiver[T]) {
	t.Helper()
	checkLeaks(t)
	s, err := NewSender[T](capacity, opts...)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, s)
	r, err := OpenReceiver[T](capacity, s.Memfd(), s.EmptySignal(), s.FullSignal(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, r)
	return s, r
}

func closeAtEnd(t testing.TB, c interface{ Close() error }) {
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// census counts what ends hold: descriptors and mappings of memory files, by
// the kernel's account.
func census(t testing.TB) (files, maps int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && (strings.HasPrefix(name, "/memfd:") || strings.Contains(name, "[eventfd]") || strings.Contains(name, "[eventpoll]")) {
			files++
		}
	}
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return files, strings.Count(string(text), "/memfd:")
}

// checkLeaks compares what is held when the test is over with now. The first
// call must come before anything is made.
func checkLeaks(t testing.TB) {
	t.Helper()
	// The runtime's own poller is made at the first use of one.
	p, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	w.Close()
	files, maps := census(t)
	goroutines := runtime.NumGoroutine()
	t.Cleanup(func() {
		f, m := census(t)
		if f != files || m != maps {
			t.Errorf("%d files and %d mappings are left", f-files, m-maps)
		}
		// A goroutine that has been told to end may take a moment.
		for deadline := time.Now().Add(patience); runtime.NumGoroutine() > goroutines; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Errorf("%d goroutines are left", runtime.NumGoroutine()-goroutines)
				return
			}
		}
	})
}

// within fails the test if f takes longer than patience.
func within(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s takes longer than %v", what, patience)
	}
}
