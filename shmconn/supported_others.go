//go:build !linux || mips || mipsle || (arm && !arm.7)

package shmconn

// Besides Linux they need 64-bit atomic instructions. Without these, as on
// 32-bit MIPS and on ARM before version 7, package sync/atomic takes a lock that
// the other process knows nothing of.
const supported = false
