package memfd

import (
	"fmt"
	"math"
	"math/bits"
	"os"
)

// Config makes memory files of other kinds than [Create] and [WriteOnce] do.
// The zero value makes theirs.
type Config struct {
	// Seals are added when the file has its size, or its content. 0 means
	// SizeSealed for Create and ContentSealed for WriteOnce. Whatever else is
	// chosen should hold SealShrink, as readers refuse files without it.
	Seals Seals

	// HugePage puts the file on huge pages of that many bytes, a power of two,
	// or on those of the system's default size with DefaultHugePage. 0 means
	// ordinary pages. The size of the file is rounded up to whole huge pages.
	// They come out of a pool that is empty on most systems, in which case
	// mapping the file fails with ENOMEM; creating it fails with ENODEV or
	// EINVAL if there are none of that size.
	HugePage int64

	// Flags are further flags of memfd_create(2). MFD_CLOEXEC and
	// MFD_ALLOW_SEALING are always there, and MFD_NOEXEC_SEAL is unless MFD_EXEC
	// is given or the kernel knows neither.
	Flags int
}

// DefaultHugePage is the value of [Config.HugePage] for the huge pages that the
// system uses where no size is named.
const DefaultHugePage = -1

// Create makes a memory file of size bytes and seals it. See [Create] for the
// name and the size.
func (c *Config) Create(name string, size int64) (*os.File, error) {
	if err := checkSize(size); err != nil {
		return nil, err
	}
	if err := c.check(size); err != nil {
		return nil, err
	}
	f, _, err := createConfig(name, size, c)
	if err != nil {
		return nil, err
	}
	if err := AddSeals(f, orDefault(c.Seals, SizeSealed)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (c *Config) check(size int64) error {
	if c.HugePage == 0 || c.HugePage == DefaultHugePage {
		return nil
	}
	if c.HugePage < 0 || bits.OnesCount64(uint64(c.HugePage)) != 1 || size > math.MaxInt-c.HugePage {
		return fmt.Errorf("memfd: huge page size %d: %w", c.HugePage, os.ErrInvalid)
	}
	return nil
}

func orDefault(s, def Seals) Seals {
	if s == 0 {
		return def
	}
	return s
}

// Info is what [Inspect] finds out about a memory file.
type Info struct {
	Size     int64 // bytes; it stays what it is only as far as Seals say so
	Seals    Seals
	HugePage int64 // bytes of one huge page, 0 for ordinary memory
}

// Inspect looks at a file of unknown origin without trusting or judging it, in
// an order in which a hostile one can not make it block. The error wraps
// [ErrUnsafe] if f is no memory file at all. Where [Verify] asks for exactly
// what this package makes, Inspect lets the caller decide.
func Inspect(f *os.File) (Info, error) {
	var info Info
	err := control(f, func(fd int) (err error) {
		info, err = inspect(fd)
		return err
	})
	return info, err
}
