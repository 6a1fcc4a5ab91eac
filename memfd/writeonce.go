package memfd

import (
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"syscall"
)

// ContentSealed is the state of a file whose content is final: nobody can write
// to it, resize it or add seals, its creator included. [WriteOnce] makes such
// files and [ReadOnly] maps them.
const ContentSealed = SizeSealed | SealWrite | SealSeal

// WriteOnce makes a memory file of size bytes, has fill write its content and
// seals it, so that it can be passed to any number of processes, which read the
// same memory and need not trust the sender not to change it. The size is
// positive, and need not be a multiple of the page size. What fill leaves alone
// is zero. If fill fails, so does WriteOnce, with its error wrapped.
//
// fill must not keep mem; it is unmapped when fill has returned. Sealing fails
// with EBUSY if the kernel still has the pages for writing then, as for
// asynchronous I/O into mem that fill has not waited for. The caller owns the
// file.
func WriteOnce(name string, size int64, fill func(mem []byte) error) (*os.File, error) {
	return new(Config).WriteOnce(name, size, fill)
}

// WriteOnce is the function [WriteOnce] for files as c has them.
func (c *Config) WriteOnce(name string, size int64, fill func(mem []byte) error) (*os.File, error) {
	page := int64(os.Getpagesize())
	if size <= 0 || size > math.MaxInt-page {
		return nil, fmt.Errorf("memfd: size %d: %w", size, os.ErrInvalid)
	}
	if err := c.check(size); err != nil {
		return nil, err
	}
	f, got, err := createConfig(name, size, c)
	if err != nil {
		return nil, err
	}
	done := false // fill may panic
	defer func() {
		if !done {
			f.Close()
		}
	}()
	mem, err := MapReadWrite(f, (got+page-1)/page*page)
	if err != nil {
		return nil, err
	}
	if err := fillAndUnmap(mem, size, fill); err != nil {
		return nil, err
	}
	if err := AddSeals(f, orDefault(c.Seals, ContentSealed)); err != nil {
		return nil, err
	}
	done = true
	return f, nil
}

// fillAndUnmap unmaps mem also when fill panics.
func fillAndUnmap(mem []byte, size int64, fill func([]byte) error) (err error) {
	defer func() {
		if unmapErr := Unmap(mem); err == nil {
			err = unmapErr
		}
	}()
	if err := fill(mem[:size:size]); err != nil {
		return fmt.Errorf("memfd: fill: %w", err)
	}
	return nil
}

// A View is the content of a memory file, mapped for reading. It can not
// change: the same bytes are there however often they are read.
//
// All methods may be called from several goroutines. Close waits for those in
// progress.
type View struct {
	mem  []byte // whole pages; nil after Close
	size int

	mu sync.RWMutex // held while mem is accessed; Close holds it alone
}

var (
	_ io.ReaderAt = (*View)(nil)
	_ io.WriterTo = (*View)(nil)
	_ io.Closer   = (*View)(nil)
)

// ReadOnly maps the content of f, which may come from somebody who is not
// trusted. It refuses, with an error that wraps [ErrUnsafe], whatever is not
// sealed against shrinking and writing, is empty or is no memory file; further
// seals do no harm. The size is the file's own: compare it with what is
// expected. A file on huge pages is loaded at once, so that a pool that is empty
// shows here and not as a fault.
//
// f stays the caller's and is not needed any more.
func ReadOnly(f *os.File) (v *View, err error) {
	err = control(f, func(fd int) (err error) {
		v, err = ReadOnlyFD(fd, math.MaxInt64)
		return err
	})
	return v, err
}

// ReadOnlyFD is [ReadOnly] for a bare descriptor, as os.NewFile can block on a
// hostile one, and for content of at most maxSize bytes. Larger content, which
// is no harm as long as it is not mapped, is an error that wraps [syscall.EFBIG].
//
// fd stays the caller's. Closing it may block if the error wraps [ErrUnsafe].
func ReadOnlyFD(fd int, maxSize int64) (*View, error) {
	info, err := verifyContent(fd)
	if err != nil {
		return nil, err
	}
	maxSize = min(maxSize, math.MaxInt-max(info.HugePage, int64(os.Getpagesize()))) // what can be mapped
	if info.Size > maxSize {
		return nil, fmt.Errorf("memfd: size is %d, want at most %d: %w", info.Size, maxSize, syscall.EFBIG)
	}
	mem, err := mapContent(fd, info)
	if err != nil {
		return nil, err
	}
	return &View{mem: mem, size: int(info.Size)}, nil
}

// VerifyContent checks that f is what [ReadOnly] takes, without mapping it.
func VerifyContent(f *os.File) error {
	return control(f, func(fd int) error {
		_, err := verifyContent(fd)
		return err
	})
}

func verifyContent(fd int) (Info, error) {
	info, err := inspect(fd)
	if err != nil {
		return Info{}, err
	}
	return info, info.checkContent()
}

// checkContent stops files that could fault under their reader or change.
func (info Info) checkContent() error {
	const need = SealShrink | SealWrite
	switch {
	case info.Seals&need != need:
		return fmt.Errorf("memfd: %w: seals are %v, want %v among them", ErrUnsafe, info.Seals, need)
	case info.Size <= 0:
		return fmt.Errorf("memfd: %w: size is %d", ErrUnsafe, info.Size)
	}
	return nil
}

// Size returns the number of bytes.
func (v *View) Size() int64 { return int64(v.size) }

// Bytes returns the content itself, without a copy. It is valid until Close,
// after which reading it is a fatal fault, as writing to it is at any time. It
// is nil after Close.
func (v *View) Bytes() []byte {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.mem == nil {
		return nil
	}
	return v.mem[:v.size:v.size]
}

// ReadAt is [io.ReaderAt]. After Close it fails with [os.ErrClosed].
func (v *View) ReadAt(p []byte, off int64) (int, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.mem == nil {
		return 0, fmt.Errorf("memfd: %w", os.ErrClosed)
	}
	if off < 0 {
		return 0, fmt.Errorf("memfd: offset %d: %w", off, os.ErrInvalid)
	}
	if off >= int64(v.size) {
		return 0, io.EOF
	}
	n := copy(p, v.mem[off:v.size])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteTo is [io.WriterTo]: it writes all of the content to w, in one call.
func (v *View) WriteTo(w io.Writer) (int64, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.mem == nil {
		return 0, fmt.Errorf("memfd: %w", os.ErrClosed)
	}
	n, err := w.Write(v.mem[:v.size:v.size])
	if err == nil && n < v.size {
		err = io.ErrShortWrite
	}
	return int64(n), err
}

// Reader returns a reader of the content from its start, that can seek. It
// lives as long as v.
func (v *View) Reader() *io.SectionReader {
	return io.NewSectionReader(v, 0, int64(v.size))
}

// Close unmaps the content. It can be called more than once. A goroutine that
// calls it from within WriteTo waits for itself.
func (v *View) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mem == nil {
		return nil
	}
	mem := v.mem
	v.mem = nil
	return Unmap(mem)
}
