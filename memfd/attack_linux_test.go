package memfd

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func procPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// attacks are all ways known to write to, empty or resize a file that is
// WriterSealed, with the errors that stop them.
var attacks = []struct {
	name string
	want error
	do   func(fd int) error
}{
	{"map writable", unix.EPERM, func(fd int) error {
		mem, err := unix.Mmap(fd, 0, testSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		return errors.Join(err, unmapIf(mem))
	}},
	{"map write-only", unix.EPERM, func(fd int) error {
		mem, err := unix.Mmap(fd, 0, testSize, unix.PROT_WRITE, unix.MAP_SHARED)
		return errors.Join(err, unmapIf(mem))
	}},
	{"map read-only, then mprotect", unix.EACCES, func(fd int) error {
		mem, err := unix.Mmap(fd, 0, testSize, unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			return err
		}
		return errors.Join(unix.Mprotect(mem, unix.PROT_READ|unix.PROT_WRITE), unmapIf(mem))
	}},
	{"reopen by path, then map writable", unix.EPERM, func(fd int) error {
		again, err := unix.Open(procPath(fd), unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("reopen: %v", err)
		}
		defer unix.Close(again)
		mem, err := unix.Mmap(again, 0, testSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		return errors.Join(err, unmapIf(mem))
	}},
	{"pwrite", unix.EPERM, func(fd int) error { _, err := unix.Pwrite(fd, []byte{0xff}, 0); return err }},
	{"write", unix.EPERM, func(fd int) error { _, err := unix.Write(fd, []byte{0xff}); return err }},
	{"sendfile", unix.EPERM, func(fd int) error {
		src, err := unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open: %v", err)
		}
		defer unix.Close(src)
		_, err = unix.Sendfile(fd, src, nil, 1)
		return err
	}},
	{"punch hole", unix.EPERM, func(fd int) error {
		return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, testSize)
	}},
	{"allocate beyond the end", unix.EPERM, func(fd int) error { return unix.Fallocate(fd, 0, testSize, testSize) }},
	{"shrink", unix.EPERM, func(fd int) error { return unix.Ftruncate(fd, 0) }},
	{"shrink by a page", unix.EPERM, func(fd int) error { return unix.Ftruncate(fd, testSize-int64(os.Getpagesize())) }},
	{"grow", unix.EPERM, func(fd int) error { return unix.Ftruncate(fd, 2*testSize) }},
	{"reopen with O_TRUNC", unix.EPERM, func(fd int) error {
		again, err := unix.Open(procPath(fd), unix.O_RDWR|unix.O_TRUNC|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(again)
		}
		return err
	}},
	{"add a seal", unix.EPERM, func(fd int) error { return addSeals(fd, SealWrite) }},
}

func unmapIf(mem []byte) error {
	if mem == nil {
		return nil
	}
	return unix.Munmap(mem)
}

// attackAll reports every attack that is not stopped by the error expected.
func attackAll(fd int) []string {
	var failures []string
	for _, a := range attacks {
		if err := a.do(fd); !errors.Is(err, a.want) {
			failures = append(failures, fmt.Sprintf("%s: %v, want %v", a.name, err, a.want))
		}
	}
	return failures
}

func checkIntact(t *testing.T, f *os.File, mem []byte) {
	t.Helper()
	for i, b := range mem {
		if b != byte(i*7) {
			t.Fatalf("byte %d is %d, want %d", i, b, byte(i*7))
		}
	}
	if err := Verify(f, testSize, WriterSealed); err != nil {
		t.Error(err)
	}
}

func TestAttacksAfterSealing(t *testing.T) {
	f, mem := sealedFile(t, testSize)
	for i := range mem {
		mem[i] = byte(i * 7)
	}
	if err := control(f, func(fd int) error {
		for _, failure := range attackAll(fd) {
			t.Error(failure)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	// The writer's own mapping, with which it could punch holes under its
	// reader: MADV_REMOVE is fallocate(2) in disguise.
	if err := unix.Madvise(mem, unix.MADV_REMOVE); !errors.Is(err, unix.EPERM) {
		t.Errorf("MADV_REMOVE: %v, want EPERM", err)
	}
	if n := mappings(t, f.Name()); n != 1 {
		t.Errorf("%d mappings, want the writer's only", n)
	}
	checkIntact(t, f, mem)
}

// The same attacks do work on a file that is not sealed: each proves that it
// attacks something.
func TestAttacksWorkWithoutSeals(t *testing.T) {
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			f := rawMemfd(t, unix.MFD_ALLOW_SEALING, testSize, 0)
			if err := control(f, a.do); err != nil {
				t.Errorf("%v, want success", err)
			}
		})
	}
}

// Why MapReadOnly comes after Verify: a mapping that is older than the seal can
// still be turned writable.
func TestReadOnlyMappingBeforeSealing(t *testing.T) {
	f := newFile(t, testSize)
	early := mustMap(t, f, testSize, MapReadOnly)
	if err := SealWriter(f); err != nil {
		t.Fatal(err)
	}
	late := mustMap(t, f, testSize, MapReadOnly)
	if err := unix.Mprotect(early, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		t.Errorf("mprotect of the mapping before the seal: %v, want success", err)
	}
	if err := unix.Mprotect(late, unix.PROT_READ|unix.PROT_WRITE); !errors.Is(err, unix.EACCES) {
		t.Errorf("mprotect of the mapping after the seal: %v, want EACCES", err)
	}
}
