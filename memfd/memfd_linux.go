package memfd

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func create(name string, size int64) (_ *os.File, err error) {
	fd, err := memfdCreate(name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if err := unix.Ftruncate(fd, size); err != nil {
		return nil, os.NewSyscallError("ftruncate", err)
	}
	if err := addSeals(fd, SizeSealed); err != nil {
		return nil, err
	}
	if err := verifyUnshrinkable(fd); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// memfdCreate asks for a file that can never be executed, so that it is no
// vehicle for smuggling code past a noexec policy, and goes without where the
// kernel is older than Linux 6.3 (or is gVisor) and knows no such flag.
func memfdCreate(name string) (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return -1, os.NewSyscallError("memfd_create", err)
	}
	return fd, nil
}

func addSeals(fd int, s Seals) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, int(s))
	return os.NewSyscallError("fcntl F_ADD_SEALS", err)
}

func getSeals(fd int) (Seals, error) {
	s, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil {
		return 0, os.NewSyscallError("fcntl F_GET_SEALS", err)
	}
	return Seals(s), nil
}

func mmap(fd, size int, write bool) ([]byte, error) {
	prot := unix.PROT_READ
	if write {
		prot |= unix.PROT_WRITE
	}
	// No MAP_POPULATE: it would allocate every page of a file that is meant
	// to stay sparse.
	mem, err := unix.Mmap(fd, 0, size, prot, unix.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return mem, nil
}

func unmap(mem []byte) error {
	return os.NewSyscallError("munmap", unix.Munmap(mem))
}

// unsafeError builds the error of a check that failed.
func unsafeError(format string, args ...any) error {
	return fmt.Errorf("memfd: %w: %w", ErrUnsafe, fmt.Errorf(format, args...))
}
