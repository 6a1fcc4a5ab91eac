package conformance

import (
	"io"
	"syscall"
	"testing"
)

// testHalfClose: an end that has stopped writing still reads.
func testHalfClose(t *testing.T, s *suite) {
	near, far := s.pair(t)
	put(t, near, "before")
	must(t, "CloseWrite", near.CloseWrite())
	get(t, far, "before")
	wantEOF(t, far)
	put(t, far, "after")
	get(t, near, "after")
	must(t, "CloseWrite", far.CloseWrite())
	wantEOF(t, near)

	// The other way about, with one direction busy while the other ends.
	near, far = s.pair(t)
	must(t, "CloseWrite", far.CloseWrite())
	const size = 1 << 20
	sent := start(func() (int64, error) { return send(near, size, 1) })
	wantEOF(t, near)
	n, err := far.do(task{Op: "receive", N: size, Seed: 1})
	wantCount(t, "receive", n, err, size)
	n, err = sent.wait(t)
	wantCount(t, "send", n, err, size)
}

// testEOF: the end comes after the data, as io.EOF itself.
func testEOF(t *testing.T, s *suite) {
	near, far := s.pair(t)
	n, err := far.do(task{Op: "send", N: 3000, Seed: 1})
	wantCount(t, "send", n, err, 3000)
	must(t, "CloseWrite", far.CloseWrite())
	n, err = receive(near, -1, 1)
	wantCount(t, "receive", n, err, 3000)
	wantEOF(t, near)

	near, far = s.pair(t)
	must(t, "Close", far.Close())
	wantEOF(t, near)
}

// testEOFWakesReader: readers that sleep learn of the end.
func testEOFWakesReader(t *testing.T, s *suite) {
	for _, end := range []func(peer) error{peer.CloseWrite, peer.Close} {
		near, far := s.pair(t)
		reads := []*call{startRead(near), startRead(near), startRead(near)}
		parked(t, len(reads))
		must(t, "close", end(far))
		for _, r := range reads {
			if n, err := r.wait(t); n != 0 || err != io.EOF {
				t.Fatalf("Read = %d, %v, want 0, io.EOF", n, err)
			}
		}
	}
}

func startRead(c io.Reader) *call {
	return start(func() (int, error) { return c.Read(make([]byte, 1024)) })
}

// testDataAfterClose: what was written before Close arrives.
func testDataAfterClose(t *testing.T, s *suite) {
	near, far := s.pair(t)
	n, err := far.do(task{Op: "send and close", N: 2000, Seed: 1})
	wantCount(t, "send", n, err, 2000)
	n, err = receive(near, -1, 2)
	wantCount(t, "receive", n, err, 2000)
	wantEOF(t, near)

	// More than fits at once, so that Close comes while the reader is at work.
	near, far = s.pair(t)
	const size = 3 << 20
	sent := start(func() (int64, error) { return far.do(task{Op: "send and close", N: size, Seed: 3}) })
	n, err = receive(near, -1, 4)
	wantCount(t, "receive", n, err, size)
	n, err = sent.wait(t)
	wantCount(t, "send", n, err, size)
}

// testBrokenPipe: a write fails at once when the peer does not read any more.
func testBrokenPipe(t *testing.T, s *suite) {
	for _, end := range []func(peer) error{peer.Close, peer.CloseRead} {
		near, far := s.pair(t)
		roundTrip(t, near, far)
		must(t, "close", end(far))
		for range 3 {
			n, err := near.Write([]byte("x"))
			wantErrno(t, err, "write", syscall.EPIPE)
			if n != 0 {
				t.Errorf("Write = %d, want 0", n)
			}
		}
	}

	// An end that has stopped reading still writes.
	near, far := s.pair(t)
	must(t, "CloseRead", far.CloseRead())
	put(t, far, "onward")
	get(t, near, "onward")
	must(t, "CloseWrite", near.CloseWrite())
}

// testBrokenPipeWakesWriter: writers that sleep learn that the peer is gone.
func testBrokenPipeWakesWriter(t *testing.T, s *suite) {
	near, far := s.pair(t)
	w := start(func() (int, error) { return near.Write(big()) })
	parked(t, 1)
	must(t, "Close", far.Close())
	n, err := w.wait(t)
	wantErrno(t, err, "write", syscall.EPIPE)
	if n <= 0 || n >= int64(len(big())) {
		t.Errorf("Write = %d, want part of %d", n, len(big()))
	}
}

func testOwnCloseWrite(t *testing.T, s *suite) {
	near, far := s.pair(t)
	must(t, "CloseWrite", near.CloseWrite())
	for range 2 {
		n, err := near.Write([]byte("x"))
		wantErrno(t, err, "write", syscall.EPIPE)
		if n != 0 {
			t.Errorf("Write = %d, want 0", n)
		}
	}
	must(t, "second CloseWrite", near.CloseWrite())
	wantEOF(t, far)

	// After both ends: the connection is over but still open.
	must(t, "CloseWrite", far.CloseWrite())
	wantEOF(t, near)
	must(t, "Close", near.Close())
	must(t, "Close", far.Close())
}

func testOwnCloseRead(t *testing.T, s *suite) {
	near, far := s.pair(t)
	must(t, "CloseRead", near.CloseRead())
	wantEOF(t, near)
	must(t, "second CloseRead", near.CloseRead())
	put(t, near, "onward")
	get(t, far, "onward")

	// It wakes a reader that sleeps.
	near, _ = s.pair(t)
	r := startRead(near)
	parked(t, 1)
	must(t, "CloseRead", near.CloseRead())
	if n, err := r.wait(t); n != 0 || err != io.EOF {
		t.Fatalf("Read = %d, %v, want 0, io.EOF", n, err)
	}

	// What has arrived is still handed out.
	near, far = s.pair(t)
	put(t, far, "arrived")
	must(t, "CloseRead", near.CloseRead())
	get(t, near, "arrived")
	wantEOF(t, near)
}
