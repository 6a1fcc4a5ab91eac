package memfd_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/shmconn/shmconn/memfd"
)

// The life of a memory file between its writer and its reader, which are two
// processes in earnest.
func Example() {
	const size = 1 << 20

	// Writer: create, map, seal.
	f, err := memfd.Create("example", size)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	out, err := memfd.MapReadWrite(f, size)
	if err != nil {
		log.Fatal(err)
	}
	defer memfd.Unmap(out)
	if err := memfd.SealWriter(f); err != nil {
		log.Fatal(err)
	}

	// Reader: trust nothing, map.
	if err := errors.Join(memfd.Verify(f, size, memfd.WriterSealed), memfd.VerifyEnforced(f)); err != nil {
		log.Fatal(err)
	}
	in, err := memfd.MapReadOnly(f, size)
	if err != nil {
		log.Fatal(err)
	}
	defer memfd.Unmap(in)

	copy(out, "written once, seen by both")
	fmt.Printf("%s\n", in[:26])
	// Output: written once, seen by both
}

// A check that fails says what it found.
func ExampleVerify() {
	f, err := memfd.Create("example", 1<<20)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()

	err = memfd.Verify(f, 2<<20, memfd.SizeSealed)
	fmt.Println(errors.Is(err, memfd.ErrUnsafe))
	fmt.Println(err)
	// Output:
	// true
	// memfd: unsafe memory file: size is 1048576, want 2097152
}

func ExampleSeals_String() {
	fmt.Println(memfd.SizeSealed)
	fmt.Println(memfd.WriterSealed)
	// Output:
	// SHRINK|GROW
	// SEAL|SHRINK|GROW|FUTURE_WRITE
}
