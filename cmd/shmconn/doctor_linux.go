package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/fdpass"
	"github.com/shmconn/shmconn/internal/doorbell"
	"github.com/shmconn/shmconn/memfd"
)

// systemChecks returns all checks but the last, which depends on them.
func systemChecks() []check {
	return []check{
		{"kernel", checkKernel},
		{"container", checkContainer},
		{"/proc", checkProc},
		{"memfd", checkMemfd},
		{"seals", checkSeals},
		{"eventfd", checkEventfd},
		{"RWF_NOWAIT", checkNowait},
		{"passing", checkPassing},
		{"SO_PASSRIGHTS", checkPassrights},
		{"descriptors", checkDescriptors},
		{"mappings", checkMappings},
		{"overcommit", checkOvercommit},
	}
}

// forbidden is the advice for system calls that are refused although the kernel has them.
const forbidden = `A seccomp filter or a security module forbids it. The default profiles of Docker, Podman and
containerd do not: use one of them, or allow the call in yours.`

// refusal returns the finding for a system call that has failed.
func refusal(err error, since string) finding {
	switch {
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES):
		return finding{bad, errorText(err), forbidden}
	case errors.Is(err, unix.ENOSYS):
		return finding{bad, errorText(err), "Linux " + since + " and later have it. Where the kernel does, a seccomp filter hides it: allow the call."}
	case errors.Is(err, unix.EMFILE):
		return finding{bad, errorText(err), "See descriptors, below."}
	case errors.Is(err, unix.ENFILE):
		return finding{bad, errorText(err), "All descriptors of the machine are in use: raise fs.file-max by sysctl, or find out who has them."}
	}
	return finding{bad, errorText(err), ""}
}

func checkKernel() finding {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return refusal(err, "every")
	}
	release := unix.ByteSliceToString(u.Release[:])
	var major, minor int
	fmt.Sscanf(release, "%d.%d", &major, &minor)
	before := func(a, b int) bool { return major < a || major == a && minor < b }
	switch {
	// The sandbox answers uname(2) with a made-up kernel. Older versions of it give no name, but this date.
	case strings.Contains(release, "gvisor") || unix.ByteSliceToString(u.Version[:]) == "#1 SMP Sun Jan 10 15:06:54 PST 2016":
		return finding{note, "gVisor, which claims to be Linux " + release, `It does not share memory with the outside. Network "unix" uses plain sockets where it must.`}
	case before(5, 1):
		return finding{bad, "Linux " + release + " cannot make memory that only one process writes", "Update to Linux 5.8 or later."}
	case before(5, 8):
		return finding{bad, "Linux " + release + " cannot free a thread that a hostile peer blocks", "Update to Linux 5.8 or later, or use it with peers that you trust only."}
	}
	return finding{text: "Linux " + release}
}

// checkContainer says what surrounds this process. None of it need be in the way.
func checkContainer() finding {
	var found []string
	for _, f := range []struct{ file, name string }{{"/.dockerenv", "Docker"}, {"/run/.containerenv", "Podman"}, {"/var/run/secrets/kubernetes.io", "Kubernetes"}} {
		if _, err := os.Stat(f.file); err == nil {
			found = append(found, f.name)
		}
	}
	if mapping, err := os.ReadFile("/proc/self/uid_map"); err == nil {
		if f := strings.Fields(string(mapping)); len(f) != 3 || f[2] != "4294967295" {
			found = append(found, "a user namespace")
		}
	}
	if status, err := os.ReadFile("/proc/self/status"); err == nil && strings.Contains(string(status), "\nSeccomp:\t2\n") {
		found = append(found, "a seccomp filter")
	}
	if len(found) == 0 {
		return finding{text: "none in sight"}
	}
	return finding{text: strings.Join(found, ", ")}
}

func checkProc() finding {
	const advice = `A client identifies what it is sent by its link there. Mount it, with mount -t proc proc /proc or
the option of the container's runtime. A server needs none.`
	var fs unix.Statfs_t
	if err := unix.Statfs("/proc", &fs); err != nil {
		return finding{bad, "/proc: " + errorText(os.NewSyscallError("statfs", err)), advice}
	}
	if fs.Type != unix.PROC_SUPER_MAGIC {
		return finding{bad, "/proc is not mounted", advice}
	}
	bell, err := doorbell.Create()
	if err != nil {
		return finding{note, "mounted, but what is said of an eventfd cannot be seen: " + errorText(err), ""}
	}
	defer unix.Close(bell)
	if err := doorbell.Verify(bell); err != nil {
		return finding{bad, err.Error(), advice}
	}
	return finding{text: "mounted"}
}

func checkMemfd() finding {
	f, err := memfd.Create("shmconn-doctor", int64(os.Getpagesize()))
	if err == nil {
		f.Close()
	} else if !errors.Is(err, memfd.ErrUnsafe) { // which is about its seals, below
		return refusal(err, "3.17")
	}
	return finding{text: "can be made and sized"}
}

// unenforced is the finding for a system that takes seals and does not obey them.
func unenforced(err error) finding {
	return finding{bad, strings.TrimPrefix(err.Error(), "memfd: "), `A sandbox takes seals here, but does not enforce them, so that a peer could crash this process.
Network "unix" uses plain sockets.`}
}

func checkSeals() finding {
	size := int64(os.Getpagesize())
	f, err := memfd.Create("shmconn-doctor", size)
	if errors.Is(err, memfd.ErrUnsafe) {
		return unenforced(err)
	}
	if err != nil {
		return finding{bad, "no memory file to seal", "See memfd, above."}
	}
	defer f.Close()
	mem, err := memfd.MapReadWrite(f, size)
	if err != nil {
		return refusal(err, "every")
	}
	defer memfd.Unmap(mem)
	if err := memfd.SealWriter(f); errors.Is(err, unix.EINVAL) {
		return finding{bad, errorText(err), "The seal FUTURE_WRITE came with Linux 5.1: update to 5.8 or later."}
	} else if err != nil {
		return refusal(err, "5.1")
	}
	if err := errors.Join(memfd.Verify(f, size, memfd.WriterSealed), memfd.VerifyEnforced(f)); err != nil {
		return unenforced(err)
	}
	return finding{text: "set and enforced"}
}

func checkEventfd() finding {
	bell, err := doorbell.Create()
	if err != nil {
		return refusal(err, "2.6.27")
	}
	defer unix.Close(bell)
	if _, err := unix.Write(bell, make([]byte, 8)); err != nil {
		return refusal(os.NewSyscallError("write", err), "2.6.22")
	}
	return finding{text: "can be made and rung"}
}

func checkNowait() finding {
	bell, err := doorbell.Create()
	if err != nil {
		return finding{bad, "no eventfd to read", "See eventfd, above."}
	}
	defer unix.Close(bell)
	var count [8]byte
	switch _, err := unix.Preadv2(bell, [][]byte{count[:]}, -1, unix.RWF_NOWAIT); {
	case errors.Is(err, unix.EOPNOTSUPP):
		return finding{bad, "eventfds do not have it", "It frees a thread that a hostile peer blocks. Update to Linux 5.8 or later."}
	case err != nil:
		f := refusal(os.NewSyscallError("preadv2", err), "4.6")
		f.advice = "It frees a thread that a hostile peer blocks. " + f.advice
		return f
	}
	return finding{text: "frees a writer that a peer blocks"}
}

// checkPassing sends a descriptor over a unix socket.
func checkPassing() finding {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return refusal(os.NewSyscallError("socketpair", err), "every")
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "socket")
		c, err := net.FileConn(file)
		file.Close()
		if err != nil {
			return refusal(err, "every")
		}
		defer c.Close()
		ends[i] = c.(*net.UnixConn)
	}
	err = fdpass.Borrow(func(fds []int) error { return fdpass.Send(ends[0], []byte{0}, fds...) }, ends[0])
	if err != nil {
		return refusal(err, "every")
	}
	got, err := fdpass.Receive(ends[1], make([]byte, 1), 1)
	if errors.Is(err, fdpass.ErrDescriptors) {
		return finding{bad, err.Error(), "The descriptor table may be full (see descriptors, below), or a security module may forbid it."}
	}
	if err != nil {
		return refusal(err, "every")
	}
	unix.Close(got[0])
	return finding{text: "descriptors go through unix sockets"}
}

func checkPassrights() finding {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return refusal(os.NewSyscallError("socket", err), "every")
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 0); err != nil {
		return finding{note, "not here", "A hostile peer can cost this process a thread for 100 ms now and then. Linux 6.16 and later prevent it."}
	}
	return finding{text: "unwanted descriptors are refused"}
}
