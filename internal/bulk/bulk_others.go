//go:build !amd64

package bulk

// Supported says whether CopyPast does what it is for, or is just copy.
const Supported = false

// CopyPast copies min(len(dst), len(src)) bytes and returns their number.
func CopyPast(dst, src []byte) int { return copy(dst, src) }
