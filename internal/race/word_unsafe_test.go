//go:build linux

package race

import (
	"sync/atomic"
	"unsafe"
)

// word is the first word of mem.
func word(mem []byte) *atomic.Uint32 {
	// SAFETY: a mapping is aligned to pages, and longer than the word.
	return (*atomic.Uint32)(unsafe.Pointer(unsafe.SliceData(mem)))
}

func publish(mem []byte) { word(mem).Store(1) }

func published(mem []byte) bool { return word(mem).Load() != 0 }
