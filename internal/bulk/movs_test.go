//go:build amd64 && !race

package bulk

// The instruction is tested wherever it exists, be it fast or not.
func init() {
	copiers["movs"] = func(dst, src []byte) int {
		n := min(len(dst), len(src))
		if n > 0 {
			moveString(dst[:n], src[:n])
		}
		return n
	}
}
