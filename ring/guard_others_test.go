//go:build !linux

package ring

import "testing"

// newGuarded returns size bytes of zero memory between guard bytes.
func newGuarded(tb testing.TB, size int) *guarded {
	const n = 4096
	all := make([]byte, n+size+n)
	g := &guarded{mem: all[n : n+size : n+size], before: all[:n], after: all[n+size:]}
	return g.fillGuards()
}
