package memfd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// memfdSecretCall is the same number on all architectures that have the call;
// elsewhere it is ENOSYS. Package unix does not define it for all.
const memfdSecretCall = 447

// refused checks that both ways to verify refuse f, for the reason given.
func refused(t *testing.T, f *os.File, size int64, reason string) {
	t.Helper()
	err := Verify(f, size, WriterSealed)
	if !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), reason) {
		t.Errorf("Verify: %v, want ErrUnsafe with %q", err, reason)
	}
	if err := control(f, func(fd int) error {
		adopted, err := Adopt(fd, "adopted", size, WriterSealed)
		if adopted != nil {
			t.Error("Adopt returned a file")
		}
		return err
	}); !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), reason) {
		t.Errorf("Adopt: %v, want ErrUnsafe with %q", err, reason)
	}
	// A refused descriptor stays the caller's.
	if err := control(f, func(fd int) error {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		return err
	}); err != nil {
		t.Errorf("descriptor after refusal: %v", err)
	}
}

func TestVerifyHonest(t *testing.T) {
	f, _ := sealedFile(t, testSize)
	if err := Verify(f, testSize, WriterSealed); err != nil {
		t.Error(err)
	}
	if err := VerifyEnforced(f); err != nil {
		t.Error(err)
	}
	if err := Verify(f, testSize, SizeSealed); !errors.Is(err, ErrUnsafe) {
		t.Errorf("Verify for the other state: %v, want ErrUnsafe", err)
	}
}

// The kernel may or may not add EXEC, whatever either end asks for.
func TestVerifyToleratesExec(t *testing.T) {
	f := rawMemfd(t, unix.MFD_ALLOW_SEALING, testSize, WriterSealed)
	for _, want := range []Seals{WriterSealed, WriterSealed | SealExec} {
		if err := Verify(f, testSize, want); err != nil {
			t.Error(err)
		}
	}
}

func TestVerifyInvalid(t *testing.T) {
	f, _ := sealedFile(t, testSize)
	for _, err := range []error{
		Verify(f, 0, WriterSealed),
		Verify(f, testSize-1, WriterSealed),
		Verify(f, testSize, 0),
		Verify(f, testSize, WriterSealed&^SealShrink),
	} {
		if !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%v, want os.ErrInvalid", err)
		}
	}
	if _, err := Adopt(-1, "", testSize, WriterSealed); !errors.Is(err, ErrUnsafe) || !errors.Is(err, unix.EBADF) {
		t.Errorf("Adopt(-1): %v, want ErrUnsafe and EBADF", err)
	}
}

func TestAdopt(t *testing.T) {
	sent, _ := sealedFile(t, testSize)
	var fd int
	if err := control(sent, func(n int) (err error) {
		fd, err = unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 0)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	f, err := Adopt(fd, "adopted", testSize, WriterSealed)
	if err != nil {
		unix.Close(fd)
		t.Fatal(err)
	}
	if f.Name() != "adopted" {
		t.Errorf("name is %q", f.Name())
	}
	if n := openDescriptors(t, sent.Name()); n != 2 {
		t.Errorf("%d descriptors, want 2", n)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if n := openDescriptors(t, sent.Name()); n != 1 {
		t.Errorf("%d descriptors after Close, want 1", n)
	}
}

func TestAttackWrongSize(t *testing.T) {
	f := rawMemfd(t, unix.MFD_ALLOW_SEALING, testSize, WriterSealed)
	refused(t, f, 2*testSize, "size is 1048576, want 2097152")
	refused(t, f, testSize/2, "size is 1048576, want 524288")
}

func TestAttackEmptyFile(t *testing.T) {
	refused(t, rawMemfd(t, unix.MFD_ALLOW_SEALING, 0, WriterSealed), testSize, "size is 0")
}

func TestAttackWrongSeals(t *testing.T) {
	for _, seals := range []Seals{
		0,                               // not sealed
		SealShrink,                      // partially
		SizeSealed,                      //
		SizeSealed | SealSeal,           // still writable by others
		SizeSealed | SealFutureWrite,    // more seals could follow
		WriterSealed &^ SealGrow,        //
		WriterSealed &^ SealShrink,      //
		WriterSealed | SealWrite,        // surplus: the writer could not have mapped it
		SizeSealed | SealWrite,          // another kind of file
		SealSeal | SealWrite | SealExec, //
	} {
		t.Run(seals.String(), func(t *testing.T) {
			refused(t, rawMemfd(t, unix.MFD_ALLOW_SEALING, testSize, seals), testSize, "seals are")
		})
	}
}

func TestAttackSealingNotAllowed(t *testing.T) {
	refused(t, rawMemfd(t, 0, testSize, 0), testSize, "seals are SEAL, want")
}

// A hugetlb file needs no page in the pool to be created, sized and sealed; it
// needs them on access, and it is SIGBUS then.
func TestAttackHugetlb(t *testing.T) {
	if _, err := os.Stat("/sys/kernel/mm/hugepages"); err != nil {
		t.Skipf("%v: run on a kernel with CONFIG_HUGETLBFS", err)
	}
	const hugeSize = 1 << 30 // a multiple of every default huge page size
	f := rawMemfd(t, unix.MFD_ALLOW_SEALING|unix.MFD_HUGETLB, hugeSize, WriterSealed)
	refused(t, f, hugeSize, "file system is 0x958458f6")
}

func TestAttackNotMemory(t *testing.T) {
	open := func(path string) func(*testing.T) (*os.File, error) {
		return func(*testing.T) (*os.File, error) { return os.OpenFile(path, os.O_RDWR, 0) }
	}
	fromFD := func(fd int, err error) (*os.File, error) {
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(fd), "attack"), nil
	}
	const noSeals = "file has no seals"
	for _, tc := range []struct {
		name, reason string
		make         func(*testing.T) (*os.File, error)
	}{
		{"regular file", noSeals, func(t *testing.T) (*os.File, error) {
			// Not the directory for temporary files, which may be a tmpfs.
			exe, err := os.Executable()
			if err != nil {
				return nil, err
			}
			var fs unix.Statfs_t
			if err := unix.Statfs(exe, &fs); err == nil && uint32(fs.Type) == unix.TMPFS_MAGIC {
				t.Skip("the test binary lies on tmpfs: set GOTMPDIR to a directory on a disk")
			}
			return os.Open(exe)
		}},
		{"tmpfs file", "seals are SEAL, want", func(t *testing.T) (*os.File, error) {
			if fi, err := os.Stat("/dev/shm"); err != nil || !fi.IsDir() {
				t.Skip("no /dev/shm: mount -t tmpfs tmpfs /dev/shm")
			}
			f, err := os.CreateTemp("/dev/shm", "memfd-test-")
			if err != nil {
				return nil, err
			}
			return f, errors.Join(os.Remove(f.Name()), f.Truncate(testSize))
		}},
		{"dev zero", noSeals, open("/dev/zero")},
		{"dev null", noSeals, open("/dev/null")},
		{"directory", noSeals, func(t *testing.T) (*os.File, error) { return os.Open(filepath.Dir(os.Args[0])) }},
		{"eventfd", noSeals, func(*testing.T) (*os.File, error) {
			return fromFD(unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK))
		}},
		{"socket", noSeals, func(*testing.T) (*os.File, error) {
			return fromFD(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0))
		}},
		{"pipe", noSeals, func(t *testing.T) (*os.File, error) {
			r, w, err := os.Pipe()
			if err == nil {
				t.Cleanup(func() { w.Close() })
			}
			return r, err
		}},
		{"memfd_secret", noSeals, func(t *testing.T) (*os.File, error) {
			fd, _, errno := unix.Syscall(memfdSecretCall, unix.O_CLOEXEC, 0, 0)
			if errno != 0 {
				t.Skipf("memfd_secret: %v: boot with secretmem.enable=1 on Linux 5.14 or later", errno)
			}
			f, err := fromFD(int(fd), nil)
			return f, errors.Join(err, f.Truncate(testSize))
		}},
		{"path only", noSeals, func(t *testing.T) (*os.File, error) {
			// A descriptor that names a well sealed file but can not be mapped.
			f, _ := sealedFile(t, testSize)
			var link string
			if err := control(f, func(fd int) error { link = procPath(fd); return nil }); err != nil {
				return nil, err
			}
			return fromFD(unix.Open(link, unix.O_PATH|unix.O_CLOEXEC, 0))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, err := tc.make(t)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			refused(t, f, testSize, tc.reason)
		})
	}
}

// A system call layer that ignores seals can not be had on Linux; a file
// without the seal behaves just as a sealed one would there.
func TestAttackSealsNotEnforced(t *testing.T) {
	f := newFile(t, testSize)
	if err := VerifyEnforced(f); !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), "was allowed") {
		t.Errorf("VerifyEnforced on a file that maps writable: %v, want ErrUnsafe", err)
	}
	unsealed := rawMemfd(t, unix.MFD_ALLOW_SEALING, testSize, 0)
	if err := control(unsealed, verifyUnshrinkable); !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), "was allowed") {
		t.Errorf("verifyUnshrinkable on a file that shrinks: %v, want ErrUnsafe", err)
	}
}

// A descriptor that is open for reading only fails to map for a reason that
// says nothing about the seals.
func TestAttackReadOnlyDescriptor(t *testing.T) {
	for _, check := range []struct {
		name string
		do   func(fd int) error
	}{{"mapping", verifyEnforced}, {"shrinking", verifyUnshrinkable}} {
		t.Run(check.name, func(t *testing.T) {
			f := rawMemfd(t, unix.MFD_ALLOW_SEALING, testSize, 0)
			var ro *os.File
			if err := control(f, func(fd int) (err error) { ro, err = os.Open(procPath(fd)); return err }); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { ro.Close() })
			if err := control(ro, check.do); !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), "otherwise") {
				t.Errorf("%v, want ErrUnsafe", err)
			}
		})
	}
}
