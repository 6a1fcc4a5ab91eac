//go:build !amd64 && !386 && !arm64

package pause

// Spin does nothing where no pause instruction is known.
func Spin(uint32) {}
