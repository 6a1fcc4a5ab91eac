package sharedring

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

type sample struct {
	At       uint64
	Channels [2]float32
	Kind     uint16
	_        [6]byte
}

func TestCheckItem(t *testing.T) {
	for _, test := range []struct {
		item reflect.Type
		want string // part of the error, empty for none
	}{
		{reflect.TypeFor[byte](), ""},
		{reflect.TypeFor[int](), ""},
		{reflect.TypeFor[uintptr](), ""},
		{reflect.TypeFor[complex128](), ""},
		{reflect.TypeFor[[4096]byte](), ""},
		{reflect.TypeFor[[3][5]int16](), ""},
		{reflect.TypeFor[sample](), ""},
		{reflect.TypeFor[[2]sample](), ""},
		{reflect.TypeFor[struct {
			A struct{}
			B int32
		}](), ""},

		{reflect.TypeFor[struct{}](), "no bytes"},
		{reflect.TypeFor[[0]int](), "no bytes"},
		{reflect.TypeFor[bool](), "bool"},
		{reflect.TypeFor[[2]struct{ On bool }](), "[].On is a bool"},
		{reflect.TypeFor[string](), "pointer"},
		{reflect.TypeFor[*int](), "pointer"},
		{reflect.TypeFor[[]byte](), "pointer"},
		{reflect.TypeFor[map[int]int](), "pointer"},
		{reflect.TypeFor[chan int](), "pointer"},
		{reflect.TypeFor[func()](), "pointer"},
		{reflect.TypeFor[any](), "pointer"},
		{reflect.TypeFor[error](), "pointer"},
		{reflect.TypeOf(reflect.ValueOf(new(int)).UnsafePointer()), "pointer"},
		{reflect.TypeFor[[0]*int](), "pointer"},
		{reflect.TypeFor[struct{ A struct{ B [1]string } }](), ".A.B[] is a pointer"},
		{reflect.TypeFor[struct {
			A uint16
			B uint32
		}](), "padding before"},
		{reflect.TypeFor[struct {
			A uint32
			B uint16
		}](), "padding at the end"},
		{reflect.TypeFor[struct {
			A uint32
			B struct{}
		}](), "padding at the end"},
		{reflect.TypeFor[[2]struct {
			A uint32
			B struct {
				C uint16
				D uint8
			}
		}](), "padding at the end"},
	} {
		err := checkItem(test.item)
		if test.want == "" {
			if err != nil {
				t.Errorf("%v: %v", test.item, err)
			}
			continue
		}
		if !errors.Is(err, ErrItemType) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want %q", test.item, err, test.want)
		}
	}
}

func TestMemorySize(t *testing.T) {
	const page = 4096
	for _, test := range []struct{ capacity, item, want int }{
		{1, 1, page}, {page - 64, 1, page}, {page - 63, 1, 2 * page}, {504, 8, page}, {505, 8, 2 * page},
		{1, 4032, page}, {1, 4033, 2 * page}, {500_000, 8, 4_001_792},
		{0, 8, 0}, {-1, 8, 0}, {math.MinInt, 8, 0}, {math.MaxInt, 1, 0}, {math.MaxInt / 8, 8, 0}, {math.MaxInt, math.MaxInt, 0},
	} {
		got, ok := memorySize(test.capacity, test.item, page)
		if got != test.want || ok != (test.want != 0) {
			t.Errorf("memorySize(%d, %d) = %d, %v; want %d", test.capacity, test.item, got, ok, test.want)
		}
	}
}
