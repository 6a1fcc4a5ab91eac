//go:build !amd64

package packet

func sum(b []byte) uint64 { return sumWords(b) }
