package sharedring

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/internal/doorbell"
	"github.com/shmconn/shmconn/memfd"
)

// nameLimit is what memfd_create(2) takes of a name.
const nameLimit = 249

// createMemory makes the memory file. SHRINK is what the format asks for; that
// GROW is sealed as well keeps the peer from making the file larger at the cost
// of whoever is charged for it, and the crate does not mind.
func createMemory(name string, size int, o options) (*os.File, error) {
	name = name[:min(len(name), nameLimit)]
	if !o.hugePages {
		return memfd.Create(name, int64(size))
	}
	c := memfd.Config{HugePage: int64(o.hugeSize)}
	if c.HugePage == 0 {
		c.HugePage = memfd.DefaultHugePage
	}
	return c.Create(name, int64(size))
}

// createSignal makes an eventfd in blocking mode: the crate's end waits by
// reading it and takes EAGAIN for an error.
func createSignal(name string) (*os.File, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("eventfd2", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// adopt checks the files that a peer has sent and returns duplicates of them.
// Duplicating comes last: closing a descriptor of a hostile FUSE file may block,
// and is the business of whoever received it.
func adopt(files *[3]*os.File, size int, o options) (mem, empty, full *os.File, err error) {
	if err := verifyMemory(files[0], size, o); err != nil {
		return nil, nil, nil, fmt.Errorf("memory: %w", err)
	}
	for i, f := range files[1:] {
		if err := control(f, doorbell.Verify); err != nil {
			if errors.Is(err, doorbell.ErrNotDoorbell) {
				err = fmt.Errorf("%w: %w", ErrUnsafe, err)
			}
			return nil, nil, nil, fmt.Errorf("%s signal: %w", [...]string{"empty", "full"}[i], err)
		}
	}
	var dups [3]*os.File
	for i, f := range files {
		if dups[i], err = duplicate(f); err != nil {
			for _, d := range dups[:i] {
				d.Close()
			}
			return nil, nil, nil, err
		}
	}
	return dups[0], dups[1], dups[2], nil
}

// verifyMemory stops files that could fault under this end (any that can still
// shrink, that are too short, or that are on huge pages where these were not
// asked for), that could not be written to, and those of another size, which
// show that the ends do not agree on the capacity or the item. More seals than
// SHRINK do no harm.
func verifyMemory(f *os.File, size int, o options) error {
	info, err := memfd.Inspect(f)
	if err != nil {
		if errors.Is(err, memfd.ErrUnsafe) {
			err = fmt.Errorf("%w: %w", ErrUnsafe, err)
		}
		return err
	}
	if info.Seals&memfd.SealShrink == 0 {
		return fmt.Errorf("%w: seals are %v, want SHRINK among them", ErrUnsafe, info.Seals)
	}
	if ro := info.Seals & (memfd.SealWrite | memfd.SealFutureWrite); ro != 0 {
		return fmt.Errorf("%w: sealed against writing by %v", ErrUnsafe, ro)
	}
	if !o.hugePages && info.HugePage != 0 {
		return fmt.Errorf("%w: on huge pages of %d bytes, which were not asked for", ErrUnsafe, info.HugePage)
	}
	if o.hugePages && (info.HugePage == 0 || o.hugeSize != 0 && info.HugePage != int64(o.hugeSize)) {
		return fmt.Errorf("%w: huge pages have %d bytes, want %d", ErrUnsafe, info.HugePage, o.hugeSize)
	}
	if want := fileSize(size, info.HugePage); info.Size != want {
		return fmt.Errorf("%w: size is %d, want %d", ErrUnsafe, info.Size, want)
	}
	return nil
}

// fileSize returns the size of the file for a queue of size bytes.
func fileSize(size int, hugePage int64) int64 {
	if hugePage <= 0 {
		return int64(size)
	}
	return (int64(size) + hugePage - 1) / hugePage * hugePage
}

func duplicate(f *os.File) (*os.File, error) {
	var dup *os.File
	err := control(f, func(fd int) error {
		n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err == nil {
			dup = os.NewFile(uintptr(n), f.Name())
		}
		return os.NewSyscallError("fcntl", err)
	})
	return dup, err
}

// mapMemory maps the whole file, which on huge pages is more than size.
func mapMemory(f *os.File, size int, o options) ([]byte, error) {
	n := int64(size)
	if o.hugePages {
		info, err := memfd.Inspect(f)
		if err != nil {
			return nil, err
		}
		n = fileSize(size, info.HugePage)
	}
	mem, err := memfd.MapReadWrite(f, n)
	if err != nil {
		return nil, err
	}
	if o.lock {
		if err := unix.Mlock(mem); err != nil {
			memfd.Unmap(mem)
			return nil, os.NewSyscallError("mlock", err)
		}
	}
	return mem, nil
}

// unmapMemory also ends the lock.
func unmapMemory(mem []byte) error { return memfd.Unmap(mem) }
