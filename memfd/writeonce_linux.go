package memfd

import (
	"os"

	"golang.org/x/sys/unix"
)

// mapContent maps all of a file that is sealed against writing.
func mapContent(fd int, info Info) ([]byte, error) {
	page := max(info.HugePage, int64(os.Getpagesize()))
	size := (info.Size + page - 1) / page * page
	// Private, because before Linux 6.7 a shared mapping of a descriptor that
	// is open for writing counts as one that writes, and SEAL_WRITE refuses it
	// with EPERM. The pages are the file's all the same, as nobody writes.
	mem, err := unix.Mmap(fd, 0, int(size), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	if info.HugePage == 0 {
		return mem, nil
	}
	// The attack: a file on huge pages with nothing behind it, and a pool that
	// the sender has used up. Populating fails where an access would be a
	// SIGBUS (Linux 5.14). What is there stays, as the seals forbid holes.
	if err := unix.Madvise(mem, unix.MADV_POPULATE_READ); err != nil {
		unmap(mem)
		return nil, unsafeError("load huge pages: %w", os.NewSyscallError("madvise", err))
	}
	return mem, nil
}
