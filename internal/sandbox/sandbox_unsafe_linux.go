package sandbox

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Rule is about the system call of the number Call, if the low half of its
// argument Arg, counted from 0 and masked with Mask, is Value. With a Mask of 0
// it is about all such calls.
type Rule struct {
	Call        uint32
	Arg         int
	Mask, Value uint32

	// Errno is the answer, instead of execution. 0 reports success.
	Errno unix.Errno

	// Kill ends the process in place of an answer.
	Kill bool
}

// Apply puts rules in force for all threads of the process, for good: it is for
// a process that ends soon. The first rule that is about a call counts.
func Apply(rules ...Rule) error {
	// Offsets in struct seccomp_data of include/uapi/linux/seccomp.h.
	const (
		number    = 0
		arguments = 16
	)
	low := uint32(arguments)
	if one := [2]byte{0, 1}; *(*uint16)(unsafe.Pointer(&one)) == 1 { // SAFETY: two bytes read as what they are, a uint16.
		low += 4 // big-endian
	}
	load := func(k uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: k}
	}
	ret := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	var prog []unix.SockFilter
	for _, r := range rules {
		action := unix.SECCOMP_RET_ERRNO | uint32(r.Errno)
		if r.Kill {
			action = unix.SECCOMP_RET_KILL_PROCESS
		}
		prog = append(prog,
			load(number),
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: r.Call, Jf: 4},
			load(low+8*uint32(r.Arg)),
			unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: r.Mask},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: r.Value, Jf: 1},
			ret(action),
		)
	}
	prog = append(prog, ret(unix.SECCOMP_RET_ALLOW))
	// Whoever may not be root here must not gain privileges later.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	// SAFETY: fprog and what it points to outlive the call, which copies them;
	// the conversion stands in the argument list, as package unsafe asks.
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog)))
	runtime.KeepAlive(prog)
	if errno != 0 {
		return os.NewSyscallError("seccomp", errno)
	}
	if thread != 0 { // one that has a filter of its own
		return os.NewSyscallError("seccomp", unix.ESRCH)
	}
	return nil
}
