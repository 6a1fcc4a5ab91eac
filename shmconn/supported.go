//go:build linux && !mips && !mipsle && (!arm || arm.7)

package shmconn

// supported says whether connections over shared memory exist on this system.
const supported = true
