package ring

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// newGuarded returns size bytes of zero memory whose end touches a page that
// no access survives. Before it lie guard bytes and such a page as well. It is
// freed when the test ends.
func newGuarded(tb testing.TB, size int) *guarded {
	tb.Helper()
	page := os.Getpagesize()
	n := (size + page - 1) / page * page
	all, err := syscall.Mmap(-1, 0, n+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { syscall.Munmap(all) })
	for _, guard := range [][]byte{all[:page], all[page+n:]} {
		if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
			tb.Fatal(err)
		}
	}
	all = all[page : page+n : page+n]
	g := &guarded{mem: all[n-size:], before: all[:n-size]}
	return g.fillGuards()
}

// mapTwice returns two mappings of the same fresh memory, the second of them
// read-only, as a peer would have it.
func mapTwice(t *testing.T, size int) (own, peers []byte) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "ring"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(int64(size)); err != nil {
		t.Fatal(err)
	}
	conn, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	mmap := func(prot int) (b []byte) {
		if cerr := conn.Control(func(fd uintptr) {
			b, err = syscall.Mmap(int(fd), 0, size, prot, syscall.MAP_SHARED)
		}); cerr != nil || err != nil {
			t.Fatal(cerr, err)
		}
		t.Cleanup(func() { syscall.Munmap(b) })
		return b
	}
	return mmap(syscall.PROT_READ | syscall.PROT_WRITE), mmap(syscall.PROT_READ)
}

// The peer's memory is only ever read: a single store would be fatal here.
func TestReadOnlyPeerMemory(t *testing.T) {
	a, aSeenByB := mapTwice(t, MemorySize(4096))
	b, bSeenByA := mapTwice(t, MemorySize(4096))
	p, err := NewProducer(a, bSeenByA)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewConsumer(b, aSeenByB)
	if err != nil {
		t.Fatal(err)
	}
	e := ends{a, b, p, c}
	for i := range uint64(100) {
		e.readable(t, 0, nil)
		c.Announce()
		p.Announce(4096)
		msg := stream(make([]byte, 1000), i*1000)
		if !e.write(t, msg) {
			t.Fatal("not woken")
		}
		e.read(t, msg)
	}
	p.CloseWrite()
	c.CloseRead()
	e.writable(t, 1, 0, ErrReadClosed)
}
