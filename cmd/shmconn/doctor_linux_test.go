package main

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/internal/sandbox"
)

func init() {
	preparations["no proc"] = func() error {
		return os.NewSyscallError("mount", unix.Mount("tmpfs", "/proc", "tmpfs", 0, ""))
	}
	preparations["few descriptors"] = func() error {
		return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 14, Max: 14})
	}
	for name, rule := range map[string]sandbox.Rule{
		"memfd forbidden":   {Call: unix.SYS_MEMFD_CREATE, Errno: unix.EPERM},
		"memfd missing":     {Call: unix.SYS_MEMFD_CREATE, Errno: unix.ENOSYS},
		"seals ignored":     {Call: unix.SYS_FCNTL, Arg: 1, Mask: ^uint32(0), Value: unix.F_ADD_SEALS},
		"seal unknown":      {Call: unix.SYS_FCNTL, Arg: 2, Mask: unix.F_SEAL_FUTURE_WRITE, Value: unix.F_SEAL_FUTURE_WRITE, Errno: unix.EINVAL},
		"old eventfd":       {Call: unix.SYS_PREADV2, Errno: unix.EOPNOTSUPP},
		"passing forbidden": {Call: unix.SYS_SENDMSG, Errno: unix.EACCES},
		"no passrights":     {Call: unix.SYS_SETSOCKOPT, Arg: 2, Mask: ^uint32(0), Value: unix.SO_PASSRIGHTS, Errno: unix.ENOPROTOOPT},
	} {
		preparations[name] = func() error { return sandbox.Apply(rule) }
	}
}

// doctor runs the doctor after a preparation.
func doctor(t *testing.T, preparation string, attr *syscall.SysProcAttr) result {
	t.Helper()
	cmd := program(t, "doctor")
	cmd.Env = append(cmd.Env, roleVar+"="+preparation)
	cmd.SysProcAttr = attr
	return finish(t, cmd, "")
}

// TestDoctor finds nothing wrong on a machine on which the other tests can pass.
func TestDoctor(t *testing.T) {
	r := doctor(t, "none", nil)
	if r.code != 0 || r.stderr != "" || !strings.Contains(r.stdout, "\nok    connection    1 MiB went") || !strings.HasSuffix(r.stdout, "\nShared memory works.\n") {
		t.Errorf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// TestDoctorDiagnoses checks what is said of things that are missing, forbidden or short.
func TestDoctorDiagnoses(t *testing.T) {
	const broken = "shmconn doctor: shared memory does not work here: "
	for _, test := range []struct {
		preparation string
		line        string // the one that explains
		advice      string
		reason      string // on standard error; empty if it works nevertheless
	}{
		{"few descriptors", "BAD   descriptors   limit 14 (RLIMIT_NOFILE), ", "ulimit -n", "descriptors: limit 14"},
		{"memfd forbidden", "BAD   memfd         memfd_create: operation not permitted", "seccomp filter", "memfd: memfd_create: operation not permitted"},
		{"memfd missing", "BAD   memfd         memfd_create: function not implemented", "Linux 3.17", "memfd: memfd_create: function not implemented"},
		{"seals ignored", "BAD   seals         unsafe memory file: ", "does not enforce them", "seals: unsafe memory file"},
		{"seal unknown", "BAD   seals         ", "FUTURE_WRITE came with Linux 5.1", "seals: "},
		{"old eventfd", "BAD   RWF_NOWAIT    eventfds do not have it", "Linux 5.8", ""},
		{"passing forbidden", "BAD   passing       sendmsg: permission denied", "security module", "passing: sendmsg: permission denied"},
		{"no passrights", "note  SO_PASSRIGHTS not here", "Linux 6.16", ""},
	} {
		t.Run(test.preparation, func(t *testing.T) {
			r := doctor(t, test.preparation, nil)
			checkDiagnosis(t, r, test.line, test.advice)
			switch {
			case test.reason != "" && (r.code != 1 || !strings.Contains(r.stderr, broken+test.reason) || !strings.Contains(r.stdout, "\nBAD   connection ")):
				t.Errorf("exit code %d, want 1 and %q\n%s%s", r.code, test.reason, r.stdout, r.stderr)
			case test.reason == "" && (r.code != 0 || r.stderr != "" || !strings.Contains(r.stdout, "\nok    connection ")):
				t.Errorf("exit code %d, want 0\n%s%s", r.code, r.stdout, r.stderr)
			}
		})
	}
}

func checkDiagnosis(t *testing.T, r result, line, advice string) {
	t.Helper()
	_, rest, found := strings.Cut("\n"+r.stdout, "\n"+line)
	if !found {
		t.Fatalf("no line %q\n%s%s", line, r.stdout, r.stderr)
	}
	_, rest, _ = strings.Cut(rest, "\n")
	if rest, found = strings.CutPrefix(rest, "                    -> "); !found || !strings.Contains(rest, advice) {
		t.Errorf("no advice %q\n%s", advice, r.stdout)
	}
}

// TestDoctorNoProc runs it where /proc is not mounted.
func TestDoctorNoProc(t *testing.T) {
	// A mount namespace of its own, whose mounts are not propagated. Whoever is not root needs a user
	// namespace in which he is.
	attr := &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		attr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
	}
	probe := exec.Command("/bin/true")
	probe.SysProcAttr = attr
	switch err := probe.Run(); {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		t.Skipf("no mount namespaces for this user: run as root with CAP_SYS_ADMIN, or sysctl kernel.unprivileged_userns_clone=1: %v", err)
	case errors.Is(err, unix.EINVAL):
		t.Skipf("the root directory is not a mount point: before chroot, mount --bind the new root on itself: %v", err)
	}
	r := doctor(t, "no proc", attr)
	checkDiagnosis(t, r, "BAD   /proc         /proc is not mounted", "mount -t proc proc /proc")
	checkDiagnosis(t, r, "note  mappings      vm.max_map_count cannot be read", "65530")
	if r.code != 1 || !strings.Contains(r.stderr, "shmconn doctor: shared memory does not work here: /proc: /proc is not mounted\n") {
		t.Errorf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}
