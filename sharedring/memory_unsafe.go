package sharedring

import (
	"sync/atomic"
	"unsafe"
)

// counter returns the word at the start of mem.
func counter(mem []byte) *atomic.Uintptr {
	_ = mem[headerSize-1]
	// SAFETY: the word lies within mem, whose start is aligned to a page, and
	// is only ever used atomically. The mapping outlives its use: see end.
	return (*atomic.Uintptr)(unsafe.Pointer(&mem[0]))
}

// itemsOf returns memory of the ring as items.
func itemsOf[T any](piece []byte) []T {
	// SAFETY: piece is a whole number of items, and its start a whole number of
	// them behind the first. That is 64 bytes into a page, which no Go type
	// asks more of. checkItem has made sure that any bytes are a T.
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(piece))), len(piece)/itemSize[T]())
}

// bytesOf returns the memory of items.
func bytesOf[T any](items []T) []byte {
	var zero T
	// SAFETY: it is the same memory; a T is made of bytes alone.
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(items))), len(items)*int(unsafe.Sizeof(zero)))
}

// itemSize returns the size of an item in bytes.
func itemSize[T any]() int {
	var zero T
	return int(unsafe.Sizeof(zero))
}
