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
// slices must not overlap.
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

// movs is REP MOVSB.
//
// SAFETY: the caller makes sure that both hold that much.
//
//go:noescape
func movs(dst, src unsafe.Pointer, n uintptr)

// fastMovs reports whether REP MOVSB is fast on this processor, at every
// alignment, which no flag says: AMD's Zen 3 reports it as fast and takes twenty
// times as long as with vectors where the destination is not aligned (glibc's
// bug 30994). In a cache of one's own, where nothing can be gained, it may take
// three times as long; what it is used for is elsewhere. To find out takes half a
// millisecond, once.
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
