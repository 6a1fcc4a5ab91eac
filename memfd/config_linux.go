package memfd

import (
	"errors"
	"math"
	"math/bits"
	"os"

	"golang.org/x/sys/unix"
)

// createConfig returns an unsealed file and its size.
func createConfig(name string, size int64, c *Config) (_ *os.File, _ int64, err error) {
	flags := c.Flags | unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	if c.HugePage != 0 {
		flags |= unix.MFD_HUGETLB
	}
	if c.HugePage > 0 {
		// The kernel takes the binary logarithm (MFD_HUGE_SHIFT).
		flags |= bits.TrailingZeros64(uint64(c.HugePage)) << unix.MFD_HUGE_SHIFT
	}
	fd := -1
	if flags&(unix.MFD_EXEC|unix.MFD_NOEXEC_SEAL) == 0 {
		fd, err = unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	}
	// Linux before 6.3 knows no such flag.
	if fd < 0 && (err == nil || errors.Is(err, unix.EINVAL)) {
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, 0, os.NewSyscallError("memfd_create", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if c.HugePage != 0 {
		var fs unix.Statfs_t
		if err := unix.Fstatfs(fd, &fs); err != nil {
			return nil, 0, os.NewSyscallError("fstatfs", err)
		}
		page := int64(fs.Bsize)
		if size > math.MaxInt-page {
			return nil, 0, os.NewSyscallError("ftruncate", unix.EFBIG)
		}
		size = (size + page - 1) / page * page
	}
	if err := unix.Ftruncate(fd, size); err != nil {
		return nil, 0, os.NewSyscallError("ftruncate", err)
	}
	return os.NewFile(uintptr(fd), name), size, nil
}

// inspect asks in the order of verify, for the same reasons.
func inspect(fd int) (Info, error) {
	seals, err := getSeals(fd)
	if err != nil {
		return Info{}, unsafeError("file has no seals: %w", err)
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return Info{}, unsafeError("%w", os.NewSyscallError("fstatfs", err))
	}
	var huge int64
	switch magic := uint32(fs.Type); magic {
	case unix.TMPFS_MAGIC:
	case unix.HUGETLBFS_MAGIC:
		huge = int64(fs.Bsize)
	default:
		return Info{}, unsafeError("file system is %#x, want tmpfs or hugetlbfs", magic)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Info{}, unsafeError("%w", os.NewSyscallError("fstat", err))
	}
	if kind := uint32(st.Mode) & unix.S_IFMT; kind != unix.S_IFREG {
		return Info{}, unsafeError("file type is %#o, want regular %#o", kind, unix.S_IFREG)
	}
	return Info{Size: st.Size, Seals: seals, HugePage: huge}, nil
}
