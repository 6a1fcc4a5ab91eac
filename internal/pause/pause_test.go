package pause

import "testing"

// TestSpin returns for every count; zero is none and not 2^32.
func TestSpin(t *testing.T) {
	for _, n := range []uint32{0, 1, 2, 100} {
		Spin(n)
	}
}

func BenchmarkSpin(b *testing.B) {
	for b.Loop() {
		Spin(1)
	}
}
