//go:build race

// Package race tells the race detector of the order that memory shared with
// another process establishes.
//
// The detector knows no mapped memory: it neither sees accesses to it nor
// draws order from atomics in it. Where both ends of a connection live in one
// process, what one does before it sends would look concurrent to what the
// other does after it has received. As package syscall does for read(2) and
// write(2), one process-wide object stands for all shared memory.
package race

import (
	"runtime"
	"unsafe"
)

// Enabled says whether the program was built with the race detector.
const Enabled = true

var io int32

// Acquire orders everything before any earlier Release before what follows.
func Acquire() {
	// SAFETY: the pointer only names an object to the detector.
	runtime.RaceAcquire(unsafe.Pointer(&io))
}

// Release orders everything so far before what follows any later Acquire.
func Release() {
	// SAFETY: the pointer only names an object to the detector.
	runtime.RaceReleaseMerge(unsafe.Pointer(&io))
}
