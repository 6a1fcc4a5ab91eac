package memfd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/internal/sandbox"
)

// childEnv makes the test binary run one of peers instead of the tests.
const childEnv = "MEMFD_TEST_PEER"

func TestMain(m *testing.M) {
	if peer := os.Getenv(childEnv); peer != "" {
		if err := peers[peer](); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// runPeer runs a peer to its end in a process of its own, with files as
// descriptors 3 and following.
func runPeer(t *testing.T, peer string, files ...*os.File) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+peer)
	cmd.ExtraFiles = files
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("peer %s: %v\n%s", peer, err, out)
	}
}

var peers = map[string]func() error{
	"attack":                    peerAttack,
	"old kernel":                peerOldKernel,
	"seals recorded only":       peerSealsRecordedOnly,
	"no memfd":                  peerNoMemfd,
	"file size limit":           peerFileSizeLimit,
	"no descriptors left":       peerNoDescriptorsLeft,
	"file system never replies": peerMuteFileSystem,
}

// A reader in another process reads what was written and attacks in vain.
func TestTwoProcesses(t *testing.T) {
	f, mem := sealedFile(t, testSize)
	for i := range mem {
		mem[i] = byte(i * 7)
	}
	runPeer(t, "attack", f)
	checkIntact(t, f, mem)
}

func peerAttack() error {
	f, err := Adopt(3, "inherited", testSize, WriterSealed)
	if err != nil {
		return err
	}
	if err := VerifyEnforced(f); err != nil {
		return err
	}
	mem, err := MapReadOnly(f, testSize)
	if err != nil {
		return err
	}
	if failures := attackAll(3); failures != nil {
		return errors.New(strings.Join(failures, "\n"))
	}
	for i, b := range mem {
		if b != byte(i*7) {
			return fmt.Errorf("byte %d is %d", i, b)
		}
	}
	return nil
}

// Other kernels, played by seccomp(2), and full tables: each in a process that
// ends with it.
func TestOtherKernels(t *testing.T) {
	for peer := range peers {
		if peer != "attack" {
			t.Run(peer, func(t *testing.T) { runPeer(t, peer) })
		}
	}
}

// Before Linux 6.3 the flag NOEXEC_SEAL is EINVAL.
func peerOldKernel() error {
	if err := sandbox.Apply(sandbox.Rule{Call: unix.SYS_MEMFD_CREATE, Arg: 1, Mask: unix.MFD_NOEXEC_SEAL, Value: unix.MFD_NOEXEC_SEAL, Errno: unix.EINVAL}); err != nil {
		return err
	}
	f, err := Create("old", testSize)
	if err != nil {
		return err
	}
	if s, err := GetSeals(f); err != nil || s&^SealExec != SizeSealed {
		return fmt.Errorf("seals are %v, %w; want %v", s, err, SizeSealed)
	}
	return nil
}

// F_ADD_SEALS reports success and does nothing.
func peerSealsRecordedOnly() error {
	var rules []sandbox.Rule
	for _, call := range []uint32{unix.SYS_FCNTL, fcntl64} {
		rules = append(rules, sandbox.Rule{Call: call, Arg: 1, Mask: 0xffffffff, Value: unix.F_ADD_SEALS})
	}
	if err := sandbox.Apply(rules...); err != nil {
		return err
	}
	return unwound(ErrUnsafe)
}

// A sandbox forbids the call, or the kernel is built without it.
func peerNoMemfd() error {
	if err := sandbox.Apply(sandbox.Rule{Call: unix.SYS_MEMFD_CREATE, Errno: unix.ENOSYS}); err != nil {
		return err
	}
	return unwound(unix.ENOSYS)
}

func peerFileSizeLimit() error {
	signal.Ignore(unix.SIGXFSZ)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: testSize - 1, Max: testSize - 1}); err != nil {
		return os.NewSyscallError("setrlimit", err)
	}
	return unwound(unix.EFBIG)
}

func peerNoDescriptorsLeft() error {
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: 256}); err != nil {
		return os.NewSyscallError("setrlimit", err)
	}
	_, err := Create("unwound", testSize)
	if sys := (*os.SyscallError)(nil); !errors.As(err, &sys) || !errors.Is(err, unix.EMFILE) {
		return fmt.Errorf("Create: %w, want EMFILE of a system call", err)
	}
	return nil
}

// unwound checks that Create fails with want and leaves no descriptor behind:
// the next one has the number that the failed call used.
func unwound(want error) error {
	next := func() (int, error) {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err == nil {
			err = unix.Close(fd)
		}
		return fd, os.NewSyscallError("eventfd", err)
	}
	before, err := next()
	if err != nil {
		return err
	}
	if _, err := Create("unwound", testSize); !errors.Is(err, want) {
		return fmt.Errorf("Create: %v, want %v", err, want)
	}
	after, err := next()
	if err == nil && after != before {
		err = fmt.Errorf("next descriptor is %d, was %d: one is left open", after, before)
	}
	return err
}

// A FUSE server that never answers blocks fstat and fstatfs. Here they fail, so
// that their being asked before the seals would show as their error.
func peerMuteFileSystem() error {
	f, err := os.Open(os.Args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	var rules []sandbox.Rule
	for _, call := range statCalls {
		rules = append(rules, sandbox.Rule{Call: call, Errno: unix.ETIMEDOUT})
	}
	if err := sandbox.Apply(rules...); err != nil {
		return err
	}
	if err := control(f, func(fd int) error { var st unix.Stat_t; return unix.Fstat(fd, &st) }); !errors.Is(err, unix.ETIMEDOUT) {
		return fmt.Errorf("fstat: %w, want ETIMEDOUT as a sign that the rules are in force", err)
	}
	if err := Verify(f, testSize, WriterSealed); !errors.Is(err, ErrUnsafe) || errors.Is(err, unix.ETIMEDOUT) {
		return fmt.Errorf("Verify: %w, want ErrUnsafe without a question to the file system", err)
	}
	return nil
}
