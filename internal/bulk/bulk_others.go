//go:build !amd64

package bulk

// Supported says whether Copy does what it is for, or is just copy.
const Supported = false

// Copy copies min(len(dst), len(src)) bytes and returns their number.
func Copy(dst, src []byte) int { return copy(dst, src) }
