//go:build !amd64

package prefetch

// ForWrite does nothing where publishing does not wait for earlier stores, or
// where nobody has measured that it helps.
func ForWrite([]byte) {}
