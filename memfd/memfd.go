// Package memfd makes and checks sealed memory files: anonymous files in
// memory that two processes map and whose size and writers the kernel fixes
// once and for all, so that neither process can pull the memory from under the
// other. The kernel's side of the story is memfd_create(2) and the section
// "File Sealing" of fcntl(2).
//
// A memory file has one writer and any number of readers. It goes through two
// states:
//
//	state          seals                             who may still do what
//	SizeSealed     SHRINK GROW                       anyone with the descriptor may map it
//	                                                 writable, and may add seals
//	WriterSealed   SHRINK GROW FUTURE_WRITE SEAL     mappings that are writable already stay
//	                                                 so, everything else is read-only for ever
//
// The writer calls [Create] (or receives a file that is SizeSealed and passes
// it through [Verify]), then [MapReadWrite], then [SealWriter], in this order:
// after SealWriter nobody can map the file writable, the writer included. The
// reader calls [Verify] with WriterSealed, [VerifyEnforced] and [MapReadOnly],
// in this order. Files whose content is final are a third kind, without a
// writer: see [WriteOnce] and [ReadOnly].
//
// What the seals do not say: FUTURE_WRITE leaves mappings alone that were made
// before it. Whoever had the descriptor while it was SizeSealed may keep a
// writable mapping. The two states therefore protect the reader's process and
// the file's size, not the bytes: a writer that received its file from the
// reader must never read back what it wrote, and a reader copies what it
// reads before it looks at it.
//
// # Ownership
//
// Functions that take an *os.File use its descriptor and leave it open; the
// mapping does not need it afterwards. [Adopt] alone takes ownership. A mapping
// belongs to the caller of the function that made it, who ends it with [Unmap].
//
// # Concurrency
//
// All functions may be called from several goroutines at once. No access to a
// mapping may be in flight when it is unmapped.
//
// # Errors
//
// What a check refuses wraps [ErrUnsafe], what the kernel refuses is an
// *os.SyscallError, a closed file is [os.ErrClosed], an argument that cannot be
// meant is [os.ErrInvalid]. On systems other than Linux every function returns
// [errors.ErrUnsupported].
package memfd

import (
	"errors"
	"fmt"
	"math"
	"os"
)

// ErrUnsafe is wrapped by the errors of every function that checks a file, and
// of [Create], for memory that could fault, block or change size under its
// reader. The text says which check failed, what it found and what it wanted.
var ErrUnsafe = errors.New("unsafe memory file")

// Create makes a memory file of size bytes that is SizeSealed. The size is a
// positive multiple of the page size; it is an upper bound on the memory used,
// because a page costs nothing until it is touched. The name shows in
// /proc/PID/maps and /proc/PID/fd, need not be unique and has at most 249 bytes.
// The descriptor is close-on-exec. The caller owns the file.
func Create(name string, size int64) (*os.File, error) {
	if err := checkSize(size); err != nil {
		return nil, err
	}
	return create(name, size)
}

// AddSeals adds s to the seals of f. Seals can not be taken back.
func AddSeals(f *os.File, s Seals) error {
	return control(f, func(fd int) error { return addSeals(fd, s) })
}

// GetSeals returns the seals of f.
func GetSeals(f *os.File) (Seals, error) {
	var s Seals
	err := control(f, func(fd int) (err error) {
		s, err = getSeals(fd)
		return err
	})
	return s, err
}

// SealWriter takes f from SizeSealed to WriterSealed. The writer calls it after
// [MapReadWrite]; its mapping keeps working, and is from then on the only way
// in which this process can write to f.
func SealWriter(f *os.File) error {
	return AddSeals(f, WriterSealed)
}

// Verify checks a file that came from somebody who is not trusted: that it is
// ordinary memory with exactly the seals want and of exactly size bytes. After
// Verify, an access to a mapping of these bytes can not fault for want of file
// below it.
//
// [SealExec] may be there in addition, as the kernel adds it on its own account
// (sysctl vm.memfd_noexec). want must hold [SealShrink], without which the size
// would be worth nothing a moment later.
//
// A file that arrives as a bare descriptor goes through [Adopt] instead, since
// already os.NewFile can block on a hostile one.
func Verify(f *os.File, size int64, want Seals) error {
	if err := checkWant(size, want); err != nil {
		return err
	}
	return control(f, func(fd int) error { return verify(fd, size, want) })
}

// VerifyEnforced checks that the kernel means what the seals of f say: a new
// writable mapping of f must be refused. The file must be WriterSealed.
func VerifyEnforced(f *os.File) error {
	return control(f, verifyEnforced)
}

// Adopt checks fd as [Verify] does and makes an *os.File with the given name of
// it. With the file the ownership of fd passes to the result; after an error fd
// still belongs to the caller.
//
// Closing a refused descriptor may block for as long as a hostile file system
// in user space pleases: a caller with a deadline closes it on a goroutine of
// its own.
func Adopt(fd int, name string, size int64, want Seals) (*os.File, error) {
	if err := checkWant(size, want); err != nil {
		return nil, err
	}
	if err := verify(fd, size, want); err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	if f == nil {
		return nil, fmt.Errorf("memfd: descriptor %d: %w", fd, os.ErrInvalid)
	}
	return f, nil
}

// MapReadWrite maps the first size bytes of f for reading and writing, shared
// with all other mappings. It fails with EPERM when f is WriterSealed. Pages
// are allocated when they are touched.
//
// The result must not be resliced beyond its capacity, kept after [Unmap], or
// appended to.
func MapReadWrite(f *os.File, size int64) ([]byte, error) {
	return mapFile(f, size, true)
}

// MapReadOnly maps the first size bytes of f for reading; a write to the result
// is a fatal fault. Call it after [Verify]: a mapping that is made before
// FUTURE_WRITE is sealed could be turned writable with mprotect(2).
//
// Pages are allocated when they are touched, and reading touches: the
// first to read a page that was never written is charged for it.
func MapReadOnly(f *os.File, size int64) ([]byte, error) {
	return mapFile(f, size, false)
}

// Unmap ends a mapping. mem is exactly the slice that [MapReadWrite] or
// [MapReadOnly] returned. It must be called once: after it, the address may
// belong to another mapping.
func Unmap(mem []byte) error {
	return unmap(mem)
}

func mapFile(f *os.File, size int64, write bool) ([]byte, error) {
	if err := checkSize(size); err != nil {
		return nil, err
	}
	var mem []byte
	err := control(f, func(fd int) (err error) {
		mem, err = mmap(fd, int(size), write)
		return err
	})
	return mem, err
}

// checkSize also keeps size within an int, so that a 64-bit size is not cut to
// something smaller on a 32-bit machine.
func checkSize(size int64) error {
	page := int64(os.Getpagesize())
	if size <= 0 || size%page != 0 || size > math.MaxInt {
		return fmt.Errorf("memfd: size %d is not a positive multiple of the page size %d: %w", size, page, os.ErrInvalid)
	}
	return nil
}

func checkWant(size int64, want Seals) error {
	if want&SealShrink == 0 {
		return fmt.Errorf("memfd: wanted seals %v lack SHRINK: %w", want, os.ErrInvalid)
	}
	return checkSize(size)
}

// control runs do with the descriptor of f, which stays open meanwhile even if
// another goroutine closes f. It stands for os.File.Fd, which guarantees
// neither that nor an untouched O_NONBLOCK.
func control(f *os.File, do func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("memfd: %w", err)
	}
	var doErr error
	// Control fails for a closed file only, with an error that matches no
	// exported one.
	if err := conn.Control(func(fd uintptr) { doErr = do(int(fd)) }); err != nil {
		return fmt.Errorf("memfd: %w", os.ErrClosed)
	}
	return doErr
}
