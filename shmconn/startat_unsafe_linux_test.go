package shmconn

import (
	"encoding/binary"
	"errors"
	"reflect"
	"unsafe"
)

// StartAt has both ends of a connection that was not used yet count from index,
// in both directions, as package ring's own tests do with its rings.
func StartAt(index uint64, ends ...*Conn) error {
	for _, c := range ends {
		if c.out.ring.Produced() != 0 || c.in.ring.Consumed() != 0 {
			return errors.New("in use already")
		}
		for _, field := range []string{"tail", "head", "origin", "turned"} {
			*counter(c.out.ring, field) = index
		}
		*counter(c.out.ring, "turn") += index
		for _, field := range []string{"head", "tail"} {
			*counter(c.in.ring, field) = index
		}
		const tail, origin, head, dataEvent, spaceEvent = 0x000, 0x008, 0x080, 0x100, 0x108
		for word, value := range map[int]uint64{tail: index, origin: index, head: index, dataEvent: index - 1, spaceEvent: index - 1} {
			binary.NativeEndian.PutUint64(c.mine[word:], value)
		}
	}
	return nil
}

// counter returns a field of a ring's end. It panics if that is no counter.
func counter(end any, field string) *uint64 {
	v := reflect.ValueOf(end).Elem().FieldByName(field)
	// SAFETY: the field has the type v.Type(), and an address.
	return reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Interface().(*uint64)
}
