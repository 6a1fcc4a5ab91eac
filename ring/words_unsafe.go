package ring

import (
	"errors"
	"unsafe"
)

// header is the first part of an end's memory; layout.go has the table.
type header struct {
	tail       word
	origin     word
	_          [0x70]byte
	head       word
	_          [0x78]byte
	dataEvent  word
	spaceEvent word
	sendClosed word
	recvClosed word
}

var errAlignment = errors.New("ring: memory is not aligned to 8 bytes")

func headerOf(mem []byte) (*header, error) {
	if uintptr(unsafe.Pointer(unsafe.SliceData(mem)))%8 != 0 {
		return nil, errAlignment
	}
	// SAFETY: split has checked that mem is longer than HeaderSize, which is
	// more than the size of header, and the alignment is checked above. The
	// header holds no pointers.
	return (*header)(unsafe.Pointer(unsafe.SliceData(mem))), nil
}

// The layout is a protocol between processes: these do not compile when a
// word has moved.
var (
	_ [0x008]struct{} = [unsafe.Offsetof(header{}.origin)]struct{}{}
	_ [0x080]struct{} = [unsafe.Offsetof(header{}.head)]struct{}{}
	_ [0x100]struct{} = [unsafe.Offsetof(header{}.dataEvent)]struct{}{}
	_ [0x108]struct{} = [unsafe.Offsetof(header{}.spaceEvent)]struct{}{}
	_ [0x110]struct{} = [unsafe.Offsetof(header{}.sendClosed)]struct{}{}
	_ [0x118]struct{} = [unsafe.Offsetof(header{}.recvClosed)]struct{}{}
)
