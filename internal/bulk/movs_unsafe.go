//go:build amd64 && !race

package bulk

import (
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/cpu"
)

// minMovs is the smallest copy for which the instruction is worth its start-up.
const minMovs = 1 << 10

// Copy copies min(len(dst), len(src)) bytes and returns their number. The
// slices must not overlap. All its stores are visible to other CPUs before any
// that follow the call.
func Copy(dst, src []byte) int {
	n := min(len(dst), len(src))
	if n < minMovs || !fastMovs() {
		return copy(dst, src)
	}
	moveString(dst[:n], src[:n])
	return n
}

// moveString copies len(dst) bytes, at least one, with one instruction.
func moveString(dst, src []byte) {
	src = src[:len(dst)]
	// SAFETY: both hold that many bytes.
	movs(unsafe.Pointer(unsafe.SliceData(dst)), unsafe.Pointer(unsafe.SliceData(src)), uintptr(len(dst)))
}

// movs is REP MOVSB. Its own stores may be seen in any order, but none after a
// store that follows the instruction (Intel SDM, volume 3, "Memory-Ordering Model
// for String Operations on Write-Back Memory"), such as that of the index by
// which a ring publishes the bytes.
//
// SAFETY: the caller makes sure that both hold that much.
//
//go:noescape
func movs(dst, src unsafe.Pointer, n uintptr)

// fastMovs reports whether REP MOVSB is fast on this processor, also where both
// blocks lie alike within a page and the destination is not aligned, which no
// flag says: AMD's Zen 3 reports it as fast and takes twenty times as long as
// with vectors there (glibc's bug 30994). It may take three times as long here,
// in a cache of one's own, where nothing can be gained: a ring's lines come from
// another CPU. To find out takes half a millisecond, once.
var fastMovs = sync.OnceValue(func() bool {
	if !cpu.X86.HasERMS {
		return false
	}
	const (
		page  = 4096
		size  = 2 * page
		tries = 5
		times = 4
		worst = 3
	)
	mem := make([]byte, 2*size+4*page)
	// SAFETY: the address is only looked at, for its alignment.
	mem = mem[-uintptr(unsafe.Pointer(unsafe.SliceData(mem)))%page:]
	for _, offset := range []struct{ dst, src int }{{0, 0}, {1, 0}, {15, 0}, {63, 0}, {0, 1}, {1, 32}} {
		src := mem[offset.src:][:size]
		dst := mem[size+page+offset.dst:][:size]
		fastest := func(move func()) time.Duration {
			best := time.Duration(1<<63 - 1)
			for range tries {
				start := time.Now()
				for range times {
					move()
				}
				best = min(best, time.Since(start))
			}
			return best
		}
		other := fastest(func() { copy(dst, src) })
		if fastest(func() { moveString(dst, src) }) > worst*other {
			return false
		}
	}
	return true
})
