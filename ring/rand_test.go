package ring

import "math/rand/v2"

// newRand returns numbers that are the same in every run.
func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x5ead)) }
