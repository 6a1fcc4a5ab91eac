package packet

import "golang.org/x/sys/cpu"

// sum is sumWords. Go's compiler uses no vector instructions for it, as Rust's
// does for the crate's benchmark, and in scalar form it takes longer than all
// else that a shared ring does: the figure would show the sum.
func sum(b []byte) uint64 {
	if !cpu.X86.HasAVX2 {
		return sumWords(b)
	}
	n := len(b) &^ 127
	return sumVector(b[:n]) + sumWords(b[n:])
}

// sumVector is sumWords for a multiple of 128 bytes, with AVX2.
//
//go:noescape
func sumVector(b []byte) uint64
