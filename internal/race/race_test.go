//go:build linux

package race

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOrder has one goroutine hand a variable to another through memory that
// the detector does not see. Without Release and Acquire it would report the
// accesses as a race.
func TestOrder(t *testing.T) {
	mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	var payload int
	go func() {
		payload = 42
		Release()
		publish(mem)
	}()
	for !published(mem) {
		runtime.Gosched()
	}
	Acquire()
	if payload != 42 {
		t.Errorf("payload is %d", payload)
	}
}
