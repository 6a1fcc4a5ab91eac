package bulk

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"testing"
)

// copiers are all the ways to copy but the builtin one.
var copiers = map[string]func(dst, src []byte) int{
	"bulk": Copy,
	"past": CopyPast,
}

// All ways copy at every alignment and many lengths, and nothing beyond.
func TestCopy(t *testing.T) {
	for name, copier := range copiers {
		t.Run(name, func(t *testing.T) { testCopy(t, copier) })
	}
}

func testCopy(t *testing.T, copier func(dst, src []byte) int) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		src := make([]byte, rng.IntN(3000))
		for i := range src {
			src[i] = byte(rng.Uint32())
		}
		from, to, room := rng.IntN(len(src)+1), rng.IntN(130), rng.IntN(3000)
		got := make([]byte, to+room+100)
		want := make([]byte, len(got))
		n := copy(want[to:to+room], src[from:])
		if k := copier(got[to:to+room], src[from:]); k != n || !bytes.Equal(got, want) {
			t.Fatalf("copy of %d bytes from offset %d to %d bytes at offset %d: %d, want %d, or wrong bytes",
				len(src)-from, from, room, to, k, n)
		}
	}
}

func BenchmarkCopy(b *testing.B) {
	src, dst := make([]byte, 64<<10), make([]byte, 4<<20)
	all := maps.Clone(copiers)
	all["copy"] = func(dst, src []byte) int { return copy(dst, src) }
	for name, copier := range all {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			for i := range b.N {
				copier(dst[i%64*len(src):], src)
			}
		})
	}
}
