//go:build linux && !(386 || arm || mips || mipsle)

package memfd

import "golang.org/x/sys/unix"

const fcntl64 = unix.SYS_FCNTL

var statCalls = []uint32{unix.SYS_FSTAT, unix.SYS_FSTATFS}
