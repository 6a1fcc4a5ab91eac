//go:build amd64 && !race

package bulk

import "unsafe"

// Supported says whether CopyPast does what it is for, or is just copy.
const Supported = true

const block = 64 // a cache line

// CopyPast copies min(len(dst), len(src)) bytes past the caches and returns
// their number. The slices must not overlap. All stores are visible to other
// CPUs before any that follow the call.
func CopyPast(dst, src []byte) int {
	n := min(len(dst), len(src))
	// SAFETY: the address is only looked at, for its alignment.
	head := int(-uintptr(unsafe.Pointer(unsafe.SliceData(dst))) % block)
	if n < head+block {
		return copy(dst, src[:n])
	}
	copy(dst[:head], src)
	blocks := (n - head) / block
	// SAFETY: blocks*block bytes follow head in both slices, and dst[head] is
	// aligned to a block.
	stream(unsafe.Pointer(&dst[head]), unsafe.Pointer(&src[head]), uintptr(blocks))
	done := head + blocks*block
	return done + copy(dst[done:n], src[done:n])
}

// stream copies blocks of 64 bytes with non-temporal stores, which are ordered
// before what follows.
//
// SAFETY: the caller makes sure that both hold that much, and dst is aligned.
//
//go:noescape
func stream(dst, src unsafe.Pointer, blocks uintptr)
