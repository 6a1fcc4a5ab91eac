package memfd

import (
	"fmt"
	"strings"
)

// Seals is a set of file seals, with the values of Linux's
// include/uapi/linux/fcntl.h. The zero value is the empty set.
type Seals int

// The single seals, each with what it takes away, from everybody and for ever.
const (
	SealSeal        Seals = 0x01 // adding further seals
	SealShrink      Seals = 0x02 // making the file smaller
	SealGrow        Seals = 0x04 // making the file larger
	SealWrite       Seals = 0x08 // all writing; refused with EBUSY while a writable mapping exists
	SealFutureWrite Seals = 0x10 // all writing but through writable mappings that exist already; Linux 5.1
	SealExec        Seals = 0x20 // changing the x bits of the file's mode; Linux 6.3
)

// The two states of a memory file with one writer; the package comment shows
// what may be done in which.
const (
	// SizeSealed stops the other end from shrinking the file under a mapping,
	// whose next access would be a fatal SIGBUS, and from growing it, which
	// would be charged to whoever touches the new pages.
	SizeSealed = SealShrink | SealGrow

	// WriterSealed stops, in addition, the readers from writing to memory that
	// is not theirs and everybody from punching holes into it, and with SEAL it
	// stops the other end from adding seals that the writer did not ask for.
	WriterSealed = SizeSealed | SealFutureWrite | SealSeal
)

var sealNames = [...]string{"SEAL", "SHRINK", "GROW", "WRITE", "FUTURE_WRITE", "EXEC"}

// String names the seals as fcntl(2) does, without the prefix F_SEAL_, joined
// by "|". The empty set is "none", unknown bits are printed in hexadecimal.
func (s Seals) String() string {
	if s == 0 {
		return "none"
	}
	var parts []string
	for bit, name := range sealNames {
		if s&(1<<bit) != 0 {
			parts = append(parts, name)
			s &^= 1 << bit
		}
	}
	if s != 0 {
		parts = append(parts, fmt.Sprintf("%#x", uint(s)))
	}
	return strings.Join(parts, "|")
}
