package memfd

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A rule answers a system call with errno instead of executing it, if its second
// argument masked with mask is value. Errno 0 reports success.
type rule struct {
	call, mask, value uint32
	errno             unix.Errno
}

// answer puts rules in force for the calling goroutine and its thread, for good:
// it is for a process that ends soon.
func answer(rules ...rule) error {
	runtime.LockOSThread()
	// Offsets in struct seccomp_data of include/uapi/linux/seccomp.h.
	const (
		number       = 0
		secondArg    = 24
		bigEndianLow = 4
	)
	arg := uint32(secondArg)
	if one := [2]byte{0, 1}; *(*uint16)(unsafe.Pointer(&one)) == 1 { // SAFETY: two bytes read as what they are, a uint16.
		arg += bigEndianLow
	}
	load := func(k uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: k}
	}
	ret := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	var prog []unix.SockFilter
	for _, r := range rules {
		prog = append(prog,
			load(number),
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: r.call, Jf: 4},
			load(arg),
			unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: r.mask},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: r.value, Jf: 1},
			ret(unix.SECCOMP_RET_ERRNO|uint32(r.errno)),
		)
	}
	prog = append(prog, ret(unix.SECCOMP_RET_ALLOW))
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	// SAFETY: fprog and what it points to outlive the call, which copies them;
	// the conversion stands in the argument list, as package unsafe asks.
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&fprog)))
	runtime.KeepAlive(prog)
	if errno != 0 {
		return os.NewSyscallError("seccomp", errno)
	}
	return nil
}
