package conformance

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
)

// testZeroLength: empty reads and writes do not wait, do not fail and do not look like an end.
func testZeroLength(t *testing.T, s *suite) {
	near, far := s.pair(t)
	zero := func(what string, f func([]byte) (int, error)) {
		t.Helper()
		for _, b := range [][]byte{nil, {}} {
			if n, err := f(b); n != 0 || err != nil {
				t.Errorf("%s of nothing = %d, %v, want 0, nil", what, n, err)
			}
		}
	}
	zero("Read", near.Read) // nothing there
	zero("Write", near.Write)
	zero("Write", far.Write)
	put(t, far, "some")
	zero("Read", near.Read) // something there
	get(t, near, "some")
	roundTrip(t, near, far)

	// The deadline counts for an empty Write, not for an empty Read.
	must(t, "SetDeadline", near.SetDeadline(past))
	zero("Read", near.Read)
	_, err := near.Write(nil)
	wantTimeout(t, err, "write")

	// Likewise the end: an empty Write fails, an empty Read does not.
	near, far = s.pair(t)
	must(t, "Close", far.Close())
	zero("Read", near.Read)
	_, err = near.Write(nil)
	wantErrno(t, err, "write", syscall.EPIPE)
}

func testOneByteReads(t *testing.T, s *suite) {
	near, far := s.pair(t)
	const size = 20000
	sent := start(func() (int64, error) { return far.do(task{Op: "send", N: size, Seed: 1}) })
	var b [1]byte
	for off := range int64(size) {
		if n, err := near.Read(b[:]); n != 1 || err != nil {
			t.Fatalf("Read = %d, %v, want 1, nil", n, err)
		}
		must(t, "data", match(b[:], off))
	}
	n, err := sent.wait(t)
	wantCount(t, "send", n, err, size)

	// Single bytes the other way. Unix sockets hold few such writes, so they are read meanwhile.
	got := start(func() (int64, error) { return far.do(task{Op: "receive", N: 500, Seed: 2}) })
	for off := range int64(500) {
		if n, err := near.Write(pattern()[off : off+1]); n != 1 || err != nil {
			t.Fatalf("Write = %d, %v, want 1, nil", n, err)
		}
	}
	n, err = got.wait(t)
	wantCount(t, "receive", n, err, 500)
}

// testLargeBuffer: a Read with room to spare returns what is there, all of it and without waiting
// for more.
func testLargeBuffer(t *testing.T, s *suite) {
	near, far := s.pair(t)
	buf := make([]byte, 1<<20)
	for range 10 {
		put(t, far, string(pattern()[:100]))
		put(t, far, string(pattern()[100:1000]))
		if n, err := near.Read(buf); n != 1000 || err != nil {
			t.Fatalf("Read = %d, %v, want 1000, nil", n, err)
		}
		must(t, "data", match(buf[:1000], 0))
	}
}

// testBackPressure: a writer whose reader is idle waits, with a bounded amount under way, and goes
// on when the reader does.
func testBackPressure(t *testing.T, s *suite) {
	near, far := s.pair(t)
	size := int64(len(big()))
	w := start(func() (int, error) { return near.Write(big()) })
	parked(t, 1)
	if w.ended() {
		t.Fatalf("Write of %d bytes = %d, %v without a reader", size, w.n, w.err)
	}
	// The other direction is not affected.
	put(t, far, "meanwhile")
	get(t, near, "meanwhile")

	n, err := far.do(task{Op: "receive", N: size, Seed: 1})
	wantCount(t, "receive", n, err, size)
	n, err = w.wait(t)
	wantCount(t, "Write", n, err, size)
	roundTrip(t, near, far)
}

// testExchange: bulk in both directions at once, in pieces of every size, each byte compared. The
// brief amount, too, fills each buffer more than twice.
func testExchange(t *testing.T, s *suite) {
	size := int64(64 << 20)
	if brief() {
		size = 16 << 20
	}
	near, far := s.pair(t)
	there := start(func() (int64, error) { return far.do(task{Op: "exchange", N: size, Seed: 1}) })
	n, err := exchange(near, size, 2)
	wantCount(t, "near exchange", n, err, size)
	n, err = there.wait(t)
	wantCount(t, "far exchange", n, err, size)
	must(t, "CloseWrite", near.CloseWrite())
	wantEOF(t, far)
}

// maxRecord is more than a unix socket buffers, so that the Write of a record has to wait.
const maxRecord = 300_000

// testConcurrentWriters: what one Write carries arrives in one piece, whatever its size.
func testConcurrentWriters(t *testing.T, s *suite) {
	const writers, each = 8, 40
	near, far := s.pair(t)
	var calls []*call
	for w := range writers {
		calls = append(calls, start(func() (int, error) {
			for i := range each {
				size := 1 + (w*977+i*131)%4000
				if i%20 == w {
					size = maxRecord - w
				}
				b := appendRecord(nil, w, i, size)
				if n, err := near.Write(b); n != len(b) || err != nil {
					return n, errors.Join(io.ErrShortWrite, err)
				}
			}
			return each, nil
		}))
	}
	n, err := far.do(task{Op: "records", N: writers * each})
	wantCount(t, "records", n, err, writers*each)
	for _, c := range calls {
		n, err := c.wait(t)
		wantCount(t, "writes", n, err, each)
	}
}

// testConcurrentReaders: every byte goes to one of the readers.
func testConcurrentReaders(t *testing.T, s *suite) {
	const readers, size = 8, 4 << 20
	near, far := s.pair(t)
	var (
		calls []*call
		seen  [readers][256]int
	)
	for r := range readers {
		calls = append(calls, start(func() (n int64, err error) {
			buf := make([]byte, 1+r*5000)
			for {
				m, err := near.Read(buf)
				tally(&seen[r], buf[:m])
				n += int64(m)
				if err == io.EOF {
					return n, nil
				}
				if err != nil {
					return n, err
				}
			}
		}))
	}
	n, err := far.do(task{Op: "send and close", N: size, Seed: 1})
	wantCount(t, "send", n, err, size)
	var total int64
	var got, want [256]int
	for r, c := range calls {
		n, err := c.wait(t)
		must(t, "read", err)
		total += n
		for b, k := range seen[r] {
			got[b] += k
		}
	}
	for off := int64(0); off < size; off += period {
		tally(&want, pattern()[:min(period, size-off)])
	}
	if total != size || got != want {
		t.Errorf("read %d bytes, want %d; same bytes: %v", total, size, got == want)
	}
}

// tally counts each byte of b. The race detector does not look on, which would take most of the
// test's time: it has seen the Read that filled b.
//
//go:norace
func tally(counts *[256]int, b []byte) {
	for _, x := range b {
		counts[x]++
	}
}

// testEcho: requests and answers in turn, of every size, through the far end's io.Copy to itself.
func testEcho(t *testing.T, s *suite) {
	near, far := s.pair(t)
	echo := start(func() (int64, error) { return far.do(task{Op: "echo"}) })
	var total int64
	for size := int64(1); size <= 1<<20; size = size*2 + 1 {
		sent := start(func() (int64, error) { return send(near, size, uint64(size)) })
		n, err := receive(near, size, uint64(size))
		wantCount(t, "receive", n, err, size)
		n, err = sent.wait(t)
		wantCount(t, "send", n, err, size)
		total += size
	}
	must(t, "CloseWrite", near.CloseWrite())
	wantEOF(t, near)
	n, err := echo.wait(t)
	wantCount(t, "echo", n, err, total)
}

// testBuffers: net.Buffers arrive in order, empty ones among them.
func testBuffers(t *testing.T, s *suite) {
	near, far := s.pair(t)
	var (
		buffers net.Buffers
		size    int
	)
	for _, n := range []int{1, 0, 100, 4096, 70000, 0, 1 << 20} {
		at := size % period
		buffers = append(buffers, big()[at:at+n])
		size += n
	}
	w := start(func() (int64, error) { return buffers.WriteTo(near) })
	n, err := far.do(task{Op: "receive", N: int64(size), Seed: 1})
	wantCount(t, "receive", n, err, int64(size))
	n, err = w.wait(t)
	wantCount(t, "WriteTo", n, err, int64(size))
}
