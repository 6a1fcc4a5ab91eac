package conformance

import (
	"io"
	"testing"
	"time"
)

// testCopySlowSource: while io.Copy waits for its source, the connection is free: for a Write, for
// deadlines, for Close.
func testCopySlowSource(t *testing.T, s *suite) {
	near, far := s.pair(t)
	pr, pw := io.Pipe()
	c := start(func() (int64, error) { return io.Copy(near, pr) })
	parked(t, 1)
	w := start(func() (int, error) { return near.Write([]byte("between ")) })
	n, err := w.wait(t)
	wantCount(t, "Write", n, err, 8)
	put(t, pw, "copied")
	get(t, far, "between copied")
	pw.Close()
	n, err = c.wait(t)
	wantCount(t, "io.Copy", n, err, 6)

	pr, pw = io.Pipe()
	c = start(func() (int64, error) { return io.Copy(near, pr) })
	parked(t, 1)
	cl := start(func() (int, error) { return 0, near.Close() })
	_, err = cl.wait(t)
	must(t, "Close", err)
	wantEOF(t, far)
	put(t, pw, "too late")
	_, err = c.wait(t)
	wantClosed(t, err, "write")
}

// testCopyStuckSink: while io.Copy waits for its sink, the connection is free: for a Read, for the
// peer's writes, for Close.
func testCopyStuckSink(t *testing.T, s *suite) {
	near, far := s.pair(t)
	pr, pw := io.Pipe()
	c := start(func() (int64, error) { return io.Copy(pw, near) })
	put(t, far, "copied")
	buf := make([]byte, 1)
	_, err := io.ReadFull(pr, buf) // the rest of it is on its way to the sink
	must(t, "read", err)
	parked(t, 1)
	put(t, far, "between")
	r := startRead(near)
	n, err := r.wait(t)
	wantCount(t, "Read", n, err, 7)
	get(t, pr, "opied")

	put(t, far, "stuck")
	_, err = io.ReadFull(pr, buf)
	must(t, "read", err)
	parked(t, 1)
	cl := start(func() (int, error) { return 0, near.Close() })
	_, err = cl.wait(t)
	must(t, "Close", err)
	wantEOF(t, far)
	get(t, pr, "tuck")
	_, err = c.wait(t)
	wantClosed(t, err, "read")
}

// testCopyStuckConn: the same for a copy to another connection, which a transport may treat in a
// special way.
func testCopyStuckConn(t *testing.T, s *suite) {
	near, far := s.pair(t)
	sink, _ := s.pair(t)
	w := start(func() (int, error) { return sink.Write(big()) })
	parked(t, 1) // full
	must(t, "SetWriteDeadline", sink.SetWriteDeadline(past))
	_, err := w.wait(t)
	wantTimeout(t, err, "write")
	must(t, "SetWriteDeadline", sink.SetWriteDeadline(time.Time{}))
	put(t, far, "copied") // before the copy, which then sleeps for the sink alone
	c := start(func() (int64, error) { return io.Copy(sink, near) })
	parked(t, 1)

	must(t, "SetReadDeadline", near.SetReadDeadline(after(short)))
	r := startRead(near)
	_, err = r.wait(t)
	wantTimeout(t, err, "read")
	cl := start(func() (int, error) { return 0, near.Close() })
	_, err = cl.wait(t)
	must(t, "Close", err)
	wantEOF(t, far)
	must(t, "Close", sink.Close())
	_, err = c.wait(t)
	wantClosed(t, err, "write")
}
