//go:build amd64

package prefetch

import "unsafe"

const lineSize = 64

// ForWrite asks for the cache lines that begin within b or hold its first
// byte. It does not wait for them, and changes nothing but the time that a
// later store takes.
func ForWrite(b []byte) {
	if len(b) == 0 {
		return
	}
	// SAFETY: the addresses are within b, and an instruction that prefetches
	// neither reads nor writes; it cannot fault.
	forWrite(unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b)+lineSize-1)/lineSize)
}

// forWrite asks for as many lines from p on, 64 bytes apart.
//
// SAFETY: no address can do harm.
//
//go:noescape
func forWrite(p unsafe.Pointer, lines uintptr)
