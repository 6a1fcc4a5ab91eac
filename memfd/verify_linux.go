package memfd

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// verify looks at a descriptor of unknown origin. The order of the checks is
// part of the defence: each relies on what the one before it established.
func verify(fd int, size int64, want Seals) error {
	// Seals first. The attack: a descriptor of a FUSE file whose server never
	// answers; fstat(2) and fstatfs(2) would wait for it for ever, while
	// F_GET_SEALS is answered by the kernel alone (mm/memfd.c), with EINVAL
	// for all that is neither shmem nor hugetlbfs: regular files, devices,
	// pipes, sockets, eventfds, memfd_secret.
	got, err := getSeals(fd)
	if err != nil {
		return unsafeError("file has no seals: %w", err)
	}
	// The attacks: a file that can still shrink, which is a SIGBUS for its
	// readers; one that others can still write to or punch holes into; and one
	// with more seals than agreed, which the writer could not map or the
	// sender keeps a right in that the receiver has not. A plain file on tmpfs
	// answers F_GET_SEALS too, with SEAL alone.
	if got&^SealExec != want&^SealExec {
		return unsafeError("seals are %v, want %v", got, want)
	}

	// The attack: a hugetlbfs memfd carries the same seals, but reserves no
	// pages for its mappings; an access while the pool is empty is a SIGBUS.
	// From here on no call can block, as the file system is one of the kernel's.
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return unsafeError("%w", os.NewSyscallError("fstatfs", err))
	}
	// The field is of another type on every architecture, the magic has 32 bits.
	if magic := uint32(fs.Type); magic != unix.TMPFS_MAGIC {
		return unsafeError("file system is %#x, want tmpfs %#x", magic, unix.TMPFS_MAGIC)
	}

	// The attack: a file that is sealed well, but shorter than announced;
	// mmap(2) accepts any length, and what lies beyond the end is a SIGBUS.
	// With SHRINK in place the answer stays true. That the file is a regular
	// one follows from its having seals; the same answer confirms it.
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return unsafeError("%w", os.NewSyscallError("fstat", err))
	}
	if kind := uint32(st.Mode) & unix.S_IFMT; kind != unix.S_IFREG {
		return unsafeError("file type is %#o, want regular %#o", kind, unix.S_IFREG)
	}
	if st.Size != size {
		return unsafeError("size is %d, want %d", st.Size, size)
	}
	return nil
}

// verifyEnforced stops a system call layer that records seals without obeying
// them, as a sandbox that implements Linux anew (gVisor) may: the peer could then
// change what verify took for sealed. One page shows it as well as all of them.
func verifyEnforced(fd int) error {
	mem, err := mmap(fd, os.Getpagesize(), true)
	if err == nil {
		if err := unmap(mem); err != nil {
			return err
		}
		return unsafeError("a new writable mapping was allowed, want EPERM")
	}
	// EACCES is no proof: it comes from a descriptor that is open for reading
	// only, before the kernel looks at the seals.
	if !errors.Is(err, unix.EPERM) {
		return unsafeError("a new writable mapping failed otherwise than with EPERM: %w", err)
	}
	return nil
}

// verifyUnshrinkable stops the same layer at the seal that guards against
// SIGBUS. It is for the file's creator alone, before anybody else has the file:
// where the seal is not obeyed, it empties the file.
func verifyUnshrinkable(fd int) error {
	err := unix.Ftruncate(fd, 0)
	if err == nil {
		return unsafeError("shrinking was allowed in spite of SHRINK, want EPERM")
	}
	if !errors.Is(err, unix.EPERM) {
		return unsafeError("shrinking failed otherwise than with EPERM: %w", os.NewSyscallError("ftruncate", err))
	}
	return nil
}
