package belltest

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// iocb is struct iocb of include/uapi/linux/aio_abi.h, little-endian.
type iocb struct {
	_            uint64 // aio_data
	_, _         uint32 // aio_key, aio_rw_flags
	opcode       uint16
	_            int16 // aio_reqprio
	fildes       uint32
	buf, nbytes  uint64
	_            int64  // aio_offset
	_            uint64 // aio_reserved2
	flags, resfd uint32
}

const (
	iocbCmdPread  = 0
	iocbFlagResfd = 1
)

// Signal adds one to the eventfd's counter as a completion of asynchronous I/O
// does, which alone reaches the maximum of 2^64-1.
func Signal(eventfd int) error {
	file, err := unix.Open("/dev/zero", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(file)
	var context uintptr
	buf := new([8]byte)
	// SAFETY: io_setup(2) stores one word through the pointer.
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&context)), 0); errno != 0 {
		return os.NewSyscallError("io_setup", errno)
	}
	defer unix.Syscall(unix.SYS_IO_DESTROY, context, 0, 0)
	request := &iocb{
		opcode: iocbCmdPread,
		fildes: uint32(file),
		// SAFETY: buf is on the heap, which does not move, and is kept alive
		// below until the request is complete.
		buf:    uint64(uintptr(unsafe.Pointer(buf))),
		nbytes: uint64(len(buf)),
		flags:  iocbFlagResfd,
		resfd:  uint32(eventfd),
	}
	list := &[1]*iocb{request}
	// SAFETY: io_submit(2) reads one pointer and the request behind it.
	if n, _, errno := unix.Syscall(unix.SYS_IO_SUBMIT, context, 1, uintptr(unsafe.Pointer(list))); errno != 0 || n != 1 {
		return fmt.Errorf("io_submit: %d, %w", n, errno)
	}
	var event [32]byte
	// SAFETY: io_getevents(2) stores one struct io_event, which has 32 bytes.
	if n, _, errno := unix.Syscall6(unix.SYS_IO_GETEVENTS, context, 1, 1, uintptr(unsafe.Pointer(&event)), 0, 0); errno != 0 || n != 1 {
		return fmt.Errorf("io_getevents: %d, %w", n, errno)
	}
	keep.Store(buf)
	return nil
}

// keep keeps what only the kernel knows of alive.
var keep atomic.Pointer[[8]byte]

// Overflow makes every write to the eventfd, which has the count 1, block.
func Overflow(fd int) error {
	if err := unix.SetNonblock(fd, false); err != nil {
		return err
	}
	var value [8]byte
	binary.NativeEndian.PutUint64(value[:], math.MaxUint64-2)
	if _, err := unix.Write(fd, value[:]); err != nil {
		return err
	}
	return Signal(fd)
}
