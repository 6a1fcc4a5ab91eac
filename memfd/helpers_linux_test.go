package memfd

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

const testSize = 1 << 20

// newFile creates a memory file and checks at the end of
// the test that no descriptor and no mapping of it is left.
func newFile(t *testing.T, size int64) *os.File {
	t.Helper()
	name := checkLeaks(t)
	f, err := Create(name, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

var filesMade atomic.Int64

// checkLeaks returns an unused name for a memory file of the test. It is to be
// called before anything registers a cleanup that closes this file.
func checkLeaks(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("memfd-test-%d", filesMade.Add(1))
	t.Cleanup(func() {
		if n := openDescriptors(t, name); n != 0 {
			t.Errorf("%d descriptors of %s are left open", n, name)
		}
		if n := mappings(t, name); n != 0 {
			t.Errorf("%d mappings of %s are left", n, name)
		}
	})
	return name
}

func openDescriptors(t *testing.T, name string) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		// The descriptor that ReadDir itself used is gone by now.
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && target == "/memfd:"+name+" (deleted)" {
			n++
		}
	}
	return n
}

func mappings(t *testing.T, name string) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(maps), "/memfd:"+name+" (deleted)\n")
}

func mustMap(t *testing.T, f *os.File, size int64, mapper func(*os.File, int64) ([]byte, error)) []byte {
	t.Helper()
	mem, err := mapper(f, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Unmap(mem); err != nil {
			t.Error(err)
		}
	})
	return mem
}

// sealedFile returns a file in state WriterSealed and its writer's mapping.
func sealedFile(t *testing.T, size int64) (*os.File, []byte) {
	t.Helper()
	f := newFile(t, size)
	mem := mustMap(t, f, size, MapReadWrite)
	if err := SealWriter(f); err != nil {
		t.Fatal(err)
	}
	return f, mem
}

// rawMemfd makes what a hostile peer makes: any flags, size and seals.
func rawMemfd(t *testing.T, flags int, size int64, seals Seals) *os.File {
	t.Helper()
	name := checkLeaks(t)
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|flags)
	if err != nil {
		t.Fatal(os.NewSyscallError(fmt.Sprintf("memfd_create flags %#x", flags), err))
	}
	f := os.NewFile(uintptr(fd), name)
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if seals != 0 {
		if err := AddSeals(f, seals); err != nil {
			t.Fatal(err)
		}
	}
	return f
}
