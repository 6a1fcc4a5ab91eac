package sharedring

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/memfd"
)

// Huge pages carry the queue that ordinary ones do, or are not there.
func TestHugePages(t *testing.T) {
	checkLeaks(t)
	s, err := NewSender[uint64](1000, HugePages(0))
	if err != nil {
		if !errors.Is(err, unix.ENOMEM) && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EINVAL) {
			t.Errorf("without huge pages: %v", err)
		}
		return
	}
	defer s.Close()
	if want := (2*os.Getpagesize() - 64) / 8; s.Capacity() != want {
		t.Errorf("capacity is %d, want that of ordinary pages, %d", s.Capacity(), want)
	}
	if r, err := OpenReceiver[uint64](1000, s.Memfd(), s.EmptySignal(), s.FullSignal()); !errors.Is(err, ErrUnsafe) {
		r.Close()
		t.Errorf("opened without asking for huge pages: %v", err)
	}
	r, err := OpenReceiver[uint64](1000, s.Memfd(), s.EmptySignal(), s.FullSignal(), HugePages(0))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s.Send([]uint64{1, 2, 3})
	got := make([]uint64, 5)
	if n, err := r.Receive(got); n != 3 || err != nil || got[2] != 3 {
		t.Error(n, err, got)
	}
}

func TestHugePagesRefused(t *testing.T) {
	for size, want := range map[int]error{-1: os.ErrInvalid, 3: os.ErrInvalid, 1 << 13: nil} {
		s, err := NewSender[uint64](1000, HugePages(size))
		if err == nil {
			s.Close()
			t.Errorf("huge pages of %d bytes", size)
		} else if want != nil && !errors.Is(err, want) {
			t.Errorf("huge pages of %d bytes: %v", size, err)
		}
	}
	mem := rawMemfd(t, int64(os.Getpagesize()), memfd.SealShrink)
	if s, err := OpenSender[uint64](100, mem, eventfd(t, 0), eventfd(t, 0), HugePages(0)); !errors.Is(err, ErrUnsafe) {
		s.Close()
		t.Errorf("ordinary memory taken for huge pages: %v", err)
	}
}

func TestLockMemory(t *testing.T) {
	s, _ := pair[uint64](t, 10_000, LockMemory())
	status, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	// Each mapping is a head line and then its fields.
	_, mapping, ok := strings.Cut(string(status), "/memfd:uint64")
	if !ok {
		t.Fatal("no mapping")
	}
	_, flags, _ := strings.Cut(mapping, "VmFlags:")
	flags, _, _ = strings.Cut(flags, "\n")
	if !strings.Contains(flags, " lo") {
		t.Errorf("flags %q, want lo", flags)
	}
	s.Send(make([]uint64, 1))
}

// Without the right to lock memory the constructor fails and leaves nothing.
func TestLockMemoryRefused(t *testing.T) {
	checkLeaks(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Capabilities belong to the thread, which ends with this goroutine.
		runtime.LockOSThread()
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
			t.Error(err)
			return
		}
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 0, Max: limit.Max}); err != nil {
			t.Error(err)
			return
		}
		defer unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit)
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&head, &none[0]); err != nil {
			t.Error(err)
			return
		}
		if s, err := NewSender[uint64](1000, LockMemory()); !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOMEM) {
			s.Close()
			t.Errorf("locked: %v", err)
		}
	}()
	<-done
}
