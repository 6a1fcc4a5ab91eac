//go:build amd64 || 386 || arm64

package pause

// Spin executes n of the processor's pause instructions: PAUSE takes about 10
// to 40 ns on current x86, YIELD about one on arm64.
//
//go:noescape
func Spin(n uint32)
