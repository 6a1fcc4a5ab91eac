package memfd_test

import (
	"fmt"
	"log"

	"github.com/shmconn/shmconn/memfd"
)

// A table is made once and read by many, none of whom can change it.
func ExampleWriteOnce() {
	f, err := memfd.WriteOnce("squares", 256, func(mem []byte) error {
		for i := range mem {
			mem[i] = byte(i * i)
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close() // after it was passed on

	// Reader: trust nothing, map.
	v, err := memfd.ReadOnly(f)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	fmt.Println(v.Size(), v.Bytes()[15])
	// Output: 256 225
}
