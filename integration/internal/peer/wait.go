package peer

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Patience bounds every wait for what should come at once. None comes near it on a machine that is
// merely busy.
const Patience = 30 * time.Second

// Context returns a context that ends after the Patience.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// Eventually polls for something that comes without anybody saying so.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
	}
}

// SocketPath returns a fresh path, short enough for a socket whatever the test's name.
func SocketPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(Dir(t), "s")
}

// Dir returns a fresh directory with a short name.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "shm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
