package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What a connection takes of a process at each of its ends.
const (
	connFDs  = 3
	connMaps = 2
)

// setupFDs is about what it takes to make the first connection to oneself: the runtime's poller, a
// listener, the socket and the handshake's four descriptors at each end.
const setupFDs = 16

func checkDescriptors() finding {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return refusal(os.NewSyscallError("getrlimit", err), "every")
	}
	used := usedDescriptors(limit.Cur)
	f := finding{
		text: fmt.Sprintf("limit %d (RLIMIT_NOFILE), %d in use: room for about %d connections", limit.Cur, used, (max(limit.Cur, used)-used)/connFDs),
		advice: fmt.Sprintf(`Each connection takes %d at each end, and 2 more while it is set up. Raise the limit by ulimit -n,
LimitNOFILE= in a systemd unit, or --ulimit nofile= of a container.`, connFDs),
	}
	switch {
	case limit.Cur < used+setupFDs:
		f.rank = bad
	case limit.Cur < 4096:
		f.rank = note
	default:
		f.advice = ""
	}
	return f
}

// usedDescriptors counts, without /proc, the open descriptors below the limit. Those of a process that
// has just begun are the first.
func usedDescriptors(limit uint64) (n uint64) {
	for fd := range min(limit, 4096) {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	return n
}

func checkMappings() finding {
	n, err := readSysctl("vm.max_map_count")
	if err != nil {
		return finding{note, "vm.max_map_count cannot be read: " + err.Error(), fmt.Sprintf("Each connection takes %d mappings at each end; 65530 is the kernel's default limit.", connMaps)}
	}
	f := finding{text: fmt.Sprintf("limit %d (vm.max_map_count): room for about %d connections", n, n/connMaps)}
	switch advice := "Raise it by sysctl, on the host: vm.max_map_count=262144."; {
	case n < 100: // a Go program has some dozens
		f.rank, f.advice = bad, advice
	case n < 10_000:
		f.rank, f.advice = note, advice
	}
	return f
}

func checkOvercommit() finding {
	n, err := readSysctl("vm.overcommit_memory")
	switch {
	case err != nil:
		return finding{note, "vm.overcommit_memory cannot be read: " + err.Error(), "Do not use shared memory if it is 2."}
	case n == 2:
		return finding{bad, "vm.overcommit_memory is 2 (strict)", `When the commit limit is used up, touching shared memory raises SIGBUS, which ends the process. Set it to 0
or 1 on the host, or use plain sockets.`}
	}
	return finding{text: fmt.Sprintf("vm.overcommit_memory is %d", n)}
}

// readSysctl returns a setting of the kernel that is a number.
func readSysctl(name string) (int, error) {
	text, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}
