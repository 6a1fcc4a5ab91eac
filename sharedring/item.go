package sharedring

import (
	"fmt"
	"math"
	"reflect"
)

// headerSize is what precedes the items: the word that counts them, alone on
// its cache line.
const headerSize = 64

// checkItem refuses types that are not made of bytes all of whose values are
// legal.
func checkItem(t reflect.Type) error {
	if err := checkPart(t, t.String()); err != nil {
		return err
	}
	if t.Size() == 0 {
		return fmt.Errorf("%w: %v has no bytes", ErrItemType, t)
	}
	return nil
}

func checkPart(t reflect.Type, path string) error {
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return nil
	case reflect.Array:
		return checkPart(t.Elem(), path+"[]")
	case reflect.Struct:
		// Fields are in the order of their offsets, so that padding is where
		// one does not begin at the end of the one before.
		var end uintptr
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Offset != end {
				return fmt.Errorf("%w: padding before %s.%s", ErrItemType, path, f.Name)
			}
			if err := checkPart(f.Type, path+"."+f.Name); err != nil {
				return err
			}
			end += f.Type.Size()
		}
		if end != t.Size() {
			return fmt.Errorf("%w: padding at the end of %s", ErrItemType, path)
		}
		return nil
	case reflect.Bool:
		return fmt.Errorf("%w: %s is a bool, of which not every byte is a value", ErrItemType, path)
	default:
		return fmt.Errorf("%w: %s is a pointer or holds one (%v)", ErrItemType, path, t)
	}
}

// memorySize returns the bytes that capacity items of itemSize bytes need with
// the header, rounded up to whole pages. ok is false for what can not be.
func memorySize(capacity, itemSize, page int) (size int, ok bool) {
	if capacity <= 0 || itemSize <= 0 || capacity > (math.MaxInt-headerSize-page)/itemSize {
		return 0, false
	}
	size = headerSize + capacity*itemSize
	return (size + page - 1) / page * page, true
}
