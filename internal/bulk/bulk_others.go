//go:build !amd64 || race

package bulk

// Here everything is the builtin copy, which the race detector sees, too.

// Supported says whether CopyPast does what it is for, or is just copy.
const Supported = false

// Copy copies min(len(dst), len(src)) bytes and returns their number. The
// slices must not overlap.
func Copy(dst, src []byte) int { return copy(dst, src) }

// CopyPast copies min(len(dst), len(src)) bytes and returns their number. The
// slices must not overlap.
func CopyPast(dst, src []byte) int { return copy(dst, src) }
