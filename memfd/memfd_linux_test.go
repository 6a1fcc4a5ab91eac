package memfd

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCreate(t *testing.T) {
	f := newFile(t, testSize)
	got, err := GetSeals(f)
	if err != nil {
		t.Fatal(err)
	}
	if got&^SealExec != SizeSealed {
		t.Errorf("seals are %v, want %v", got, SizeSealed)
	}
	if fi, err := f.Stat(); err != nil || fi.Size() != testSize {
		t.Errorf("Stat = %v, %v; want size %d", fi, err, testSize)
	}
	if n := openDescriptors(t, f.Name()); n != 1 {
		t.Errorf("%d descriptors carry the name %q, want 1", n, f.Name())
	}
	if err := control(f, func(fd int) error {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if flags&unix.FD_CLOEXEC == 0 {
			t.Error("descriptor is not close-on-exec")
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if err := Verify(f, testSize, SizeSealed); err != nil {
		t.Error(err)
	}
}

func TestCreateNeverExecutable(t *testing.T) {
	fd, err := unix.MemfdCreate("probe", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err != nil {
		t.Skipf("memfd_create with MFD_NOEXEC_SEAL: %v: run on Linux 6.3 or later", err)
	}
	unix.Close(fd)
	f := newFile(t, testSize)
	if s, err := GetSeals(f); err != nil || s != SizeSealed|SealExec {
		t.Errorf("seals are %v, %v; want %v", s, err, SizeSealed|SealExec)
	}
	if fi, err := f.Stat(); err != nil || fi.Mode()&0o111 != 0 {
		t.Errorf("mode is %v, %v; want no x bit", fi.Mode(), err)
	}
	if err := f.Chmod(0o755); !errors.Is(err, unix.EPERM) {
		t.Errorf("setting the x bits: %v, want EPERM", err)
	}
}

func TestCreateInvalid(t *testing.T) {
	page := int64(os.Getpagesize())
	for _, size := range []int64{0, -page, 1, page - 1, page + 1, math.MinInt64, math.MaxInt64} {
		if f, err := Create("invalid", size); !errors.Is(err, os.ErrInvalid) {
			f.Close()
			t.Errorf("Create(%d): %v, want os.ErrInvalid", size, err)
		}
	}
	name := checkLeaks(t)
	for _, n := range []string{strings.Repeat("x", 250), name + "\x00"} {
		f, err := Create(n, page)
		if sys := (*os.SyscallError)(nil); !errors.As(err, &sys) || !errors.Is(err, unix.EINVAL) {
			f.Close()
			t.Errorf("Create with a bad name of %d bytes: %v, want EINVAL of a system call", len(n), err)
		}
	}
}

func TestMapInvalid(t *testing.T) {
	f := newFile(t, testSize)
	for _, size := range []int64{0, -testSize, testSize - 1, math.MaxInt64} {
		for _, m := range []func(*os.File, int64) ([]byte, error){MapReadWrite, MapReadOnly} {
			if mem, err := m(f, size); !errors.Is(err, os.ErrInvalid) || mem != nil {
				t.Errorf("mapping %d bytes: %v, want os.ErrInvalid", size, err)
			}
		}
	}
	if err := Unmap(nil); !errors.Is(err, unix.EINVAL) {
		t.Errorf("Unmap(nil): %v, want EINVAL", err)
	}
}

func TestClosedAndNilFile(t *testing.T) {
	closed := newFile(t, testSize)
	closed.Close()
	for _, tc := range []struct {
		f    *os.File
		want error
	}{{closed, os.ErrClosed}, {nil, os.ErrInvalid}} {
		_, errGet := GetSeals(tc.f)
		_, errRW := MapReadWrite(tc.f, testSize)
		_, errRO := MapReadOnly(tc.f, testSize)
		for name, err := range map[string]error{
			"GetSeals": errGet, "MapReadWrite": errRW, "MapReadOnly": errRO,
			"AddSeals":       AddSeals(tc.f, SealSeal),
			"SealWriter":     SealWriter(tc.f),
			"Verify":         Verify(tc.f, testSize, SizeSealed),
			"VerifyEnforced": VerifyEnforced(tc.f),
		} {
			if !errors.Is(err, tc.want) {
				t.Errorf("%s: %v, want %v", name, err, tc.want)
			}
		}
	}
}

// The peers of a connection keep their mappings and close the descriptors.
func TestMappingOutlivesDescriptor(t *testing.T) {
	f, mem := sealedFile(t, testSize)
	peer := mustMap(t, f, testSize, MapReadOnly)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	mem[0], mem[testSize-1] = 1, 2
	if peer[0] != 1 || peer[testSize-1] != 2 {
		t.Errorf("peer reads %d, %d; want 1, 2", peer[0], peer[testSize-1])
	}
}

// Capacity is free until it is touched: neither creating nor mapping nor
// sealing nor verifying allocates pages.
func TestSparse(t *testing.T) {
	const size = 256 << 20
	f, mem := sealedFile(t, size)
	if err := Verify(f, size, WriterSealed); err != nil {
		t.Fatal(err)
	}
	peer := mustMap(t, f, size, MapReadOnly)
	if got := allocated(t, f); got != 0 {
		t.Errorf("%d bytes are allocated before the first access", got)
	}
	mem[0] = 1
	if peer[0] != 1 {
		t.Error("peer does not see the write")
	}
	// A huge page (shmem_enabled=always) is the most that one access may take.
	if got := allocated(t, f); got <= 0 || got > size/4 {
		t.Errorf("%d bytes are allocated after touching one page", got)
	}
}

func allocated(t *testing.T, f *os.File) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := control(f, func(fd int) error { return unix.Fstat(fd, &st) }); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func TestLeaks(t *testing.T) {
	name := checkLeaks(t)
	for range 1000 {
		f, err := Create(name, testSize)
		if err != nil {
			t.Fatal(err)
		}
		w, err := MapReadWrite(f, testSize)
		if err != nil {
			t.Fatal(err)
		}
		r, err := MapReadOnly(f, testSize)
		if err != nil {
			t.Fatal(err)
		}
		err = errors.Join(SealWriter(f), Verify(f, testSize, WriterSealed), VerifyEnforced(f), Unmap(r), Unmap(w), f.Close())
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestSealsString(t *testing.T) {
	for s, want := range map[Seals]string{
		0:                    "none",
		SealSeal:             "SEAL",
		SizeSealed:           "SHRINK|GROW",
		WriterSealed:         "SEAL|SHRINK|GROW|FUTURE_WRITE",
		SealWrite | SealExec: "WRITE|EXEC",
		0x40:                 "0x40",
		SealGrow | 0x180:     "GROW|0x180",
	} {
		if got := s.String(); got != want {
			t.Errorf("Seals(%#x).String() = %q, want %q", int(s), got, want)
		}
	}
	// fmt must find the method on the value.
	if got := fmt.Sprint(SealShrink); got != "SHRINK" {
		t.Errorf("Sprint = %q", got)
	}
}

func TestSealsMatchKernel(t *testing.T) {
	for s, want := range map[Seals]int{
		SealSeal: unix.F_SEAL_SEAL, SealShrink: unix.F_SEAL_SHRINK, SealGrow: unix.F_SEAL_GROW,
		SealWrite: unix.F_SEAL_WRITE, SealFutureWrite: unix.F_SEAL_FUTURE_WRITE, SealExec: unix.F_SEAL_EXEC,
	} {
		if int(s) != want {
			t.Errorf("%v is %#x, want %#x", s, int(s), want)
		}
	}
}
