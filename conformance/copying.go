package conformance

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// tempFile returns a file with the first n bytes of the pattern, at its beginning.
func tempFile(t *testing.T, n int) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	must(t, "create", err)
	t.Cleanup(func() { f.Close() })
	_, err = f.Write(big()[:n])
	must(t, "write", err)
	_, err = f.Seek(0, io.SeekStart)
	must(t, "seek", err)
	return f
}

func wantOffset(t *testing.T, f *os.File, want int64) {
	t.Helper()
	off, err := f.Seek(0, io.SeekCurrent)
	must(t, "seek", err)
	if off != want {
		t.Errorf("file offset %d, want %d", off, want)
	}
}

// testCopyFile: io.Copy from a file and to a file, to the byte, from wherever the file stands.
func testCopyFile(t *testing.T, s *suite) {
	const size = 5 << 20
	near, far := s.pair(t)
	f := tempFile(t, size)
	c := start(func() (int64, error) { return io.Copy(near, f) })
	n, err := far.do(task{Op: "receive", N: size, Seed: 1})
	wantCount(t, "receive", n, err, size)
	n, err = c.wait(t)
	wantCount(t, "io.Copy from a file", n, err, size)
	wantOffset(t, f, size)

	// Only the rest of it.
	_, err = f.Seek(period, io.SeekStart)
	must(t, "seek", err)
	c = start(func() (int64, error) { return io.Copy(near, f) })
	n, err = far.do(task{Op: "receive", N: size - period, Seed: 1})
	wantCount(t, "receive", n, err, size-period)
	n, err = c.wait(t)
	wantCount(t, "io.Copy from a file", n, err, size-period)

	// To a file, behind what it has.
	g := tempFile(t, 10)
	_, err = g.Seek(10, io.SeekStart)
	must(t, "seek", err)
	c = start(func() (int64, error) { return far.do(task{Op: "send and close", N: size, Seed: 1}) })
	n, err = io.Copy(g, near)
	wantCount(t, "io.Copy to a file", n, err, size)
	n, err = c.wait(t)
	wantCount(t, "send", n, err, size)
	wantOffset(t, g, size+10)
	_, err = g.Seek(10, io.SeekStart)
	must(t, "seek", err)
	n, err = receive(g, -1, 1)
	wantCount(t, "file", n, err, size)
}

// testCopyLimited: io.CopyN and io.LimitedReader take and give not a byte more than they say.
func testCopyLimited(t *testing.T, s *suite) {
	const part = 70_001
	near, far := s.pair(t)
	f := tempFile(t, 2*period)

	// Twice from a file, where the second copy begins a period.
	for i := range int64(2) {
		_, err := f.Seek(i*period, io.SeekStart)
		must(t, "seek", err)
		c := start(func() (int64, error) { return io.CopyN(near, f, part) })
		n, err := far.do(task{Op: "receive", N: part, Seed: 1})
		wantCount(t, "receive", n, err, part)
		n, err = c.wait(t)
		wantCount(t, "io.CopyN from a file", n, err, part)
		wantOffset(t, f, i*period+part)
	}
	n, err := io.CopyN(near, f, 0)
	wantCount(t, "io.CopyN of nothing", n, err, 0)

	// Less than was asked for.
	n, err = io.CopyN(near, strings.NewReader("short"), 10)
	if n != 5 || err != io.EOF {
		t.Errorf("io.CopyN from a short source = %d, %v, want 5, io.EOF", n, err)
	}
	n, err = io.Copy(near, &io.LimitedReader{R: strings.NewReader("er"), N: 10})
	wantCount(t, "io.Copy from a limited reader", n, err, 2)
	get(t, far, "shorter")

	// From the connection: the rest stays there.
	put(t, far, "head tail end")
	var b bytes.Buffer
	n, err = io.CopyN(&b, near, 5)
	wantCount(t, "io.CopyN", n, err, 5)
	n, err = io.Copy(&b, io.LimitReader(near, 5))
	wantCount(t, "io.Copy of a limited reader", n, err, 5)
	if b.String() != "head tail " {
		t.Errorf("got %q", b.String())
	}
	g := tempFile(t, 0)
	n, err = io.CopyN(g, near, 2)
	wantCount(t, "io.CopyN to a file", n, err, 2)
	get(t, near, "d")
}

// testCopyReaders: io.Copy from readers of every habit, and to a writer that fails.
func testCopyReaders(t *testing.T, s *suite) {
	near, far := s.pair(t)
	const size = 100_000
	data := big()[:size]
	for name, r := range map[string]io.Reader{
		"one byte":      iotest.OneByteReader(bytes.NewReader(data[:3000])),
		"half":          iotest.HalfReader(bytes.NewReader(data)),
		"data with EOF": iotest.DataErrReader(bytes.NewReader(data)),
		"plain":         struct{ io.Reader }{bytes.NewReader(data)},
		"writer to":     bytes.NewReader(data),
		"idle":          &idle{r: bytes.NewReader(data)},
		"empty":         strings.NewReader(""),
	} {
		want := int64(size)
		switch name {
		case "one byte":
			want = 3000
		case "empty":
			want = 0
		}
		c := start(func() (int64, error) { return io.Copy(near, r) })
		n, err := far.do(task{Op: "receive", N: want, Seed: 1})
		wantCount(t, name+": receive", n, err, want)
		n, err = c.wait(t)
		wantCount(t, name+": io.Copy", n, err, want)
	}

	// The source's error comes back as it is, after what came before it.
	broken := errors.New("broken source")
	n, err := io.Copy(near, io.MultiReader(strings.NewReader("before"), iotest.ErrReader(broken)))
	if n != 6 || err != broken {
		t.Errorf("io.Copy = %d, %v, want 6, %v", n, err, broken)
	}
	get(t, far, "before")

	// So does the sink's.
	put(t, far, "lost")
	n, err = io.Copy(brokenWriter{broken}, near)
	if n != 0 || err != broken {
		t.Errorf("io.Copy = %d, %v, want 0, %v", n, err, broken)
	}
	roundTrip(t, near, far)
}

// idle is a reader that returns nothing, without an error, every other time.
type idle struct {
	r    io.Reader
	turn bool
}

func (i *idle) Read(p []byte) (int, error) {
	if i.turn = !i.turn; i.turn {
		return 0, nil
	}
	return i.r.Read(p)
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

// testCopyDeadline: io.Copy ends at the deadlines of the connection and knows how far it got.
func testCopyDeadline(t *testing.T, s *suite) {
	near, far := s.pair(t)
	must(t, "SetWriteDeadline", near.SetWriteDeadline(after(short)))
	n, err := io.Copy(near, &endless{})
	wantTimeout(t, err, "write")
	must(t, "CloseWrite", near.CloseWrite())
	got, err := far.do(task{Op: "receive", N: -1, Seed: 1})
	wantCount(t, "receive", got, err, n)

	put(t, far, "some")
	must(t, "SetReadDeadline", near.SetReadDeadline(after(short)))
	var b bytes.Buffer
	_, err = io.Copy(&b, near)
	wantTimeout(t, err, "read")
	must(t, "SetReadDeadline", near.SetReadDeadline(after(never)))
	put(t, far, " more")
	must(t, "Close", far.Close())
	_, err = io.Copy(&b, near)
	must(t, "io.Copy", err)
	if b.String() != "some more" {
		t.Errorf("got %q, want %q", b.String(), "some more")
	}

	// Moved while the copy waits, and Close.
	near, _ = s.pair(t)
	c := start(func() (int64, error) { return io.Copy(io.Discard, near) })
	parked(t, 1)
	must(t, "SetReadDeadline", near.SetReadDeadline(past))
	_, err = c.wait(t)
	wantTimeout(t, err, "read")
	c = start(func() (int64, error) { return io.Copy(near, &endless{}) })
	parked(t, 1)
	must(t, "Close", near.Close())
	_, err = c.wait(t)
	wantClosed(t, err, "write")
}

// testCopyProxy: io.Copy from one connection to another, both ways, as a proxy does.
func testCopyProxy(t *testing.T, s *suite) {
	const size = 4 << 20
	near1, far1 := s.pair(t)
	near2, far2 := s.pair(t)
	forward := func(dst, src duplex) *call {
		return start(func() (int64, error) {
			n, err := io.Copy(dst, src)
			return n, errors.Join(err, dst.CloseWrite())
		})
	}
	proxies := []*call{forward(near1, near2), forward(near2, near1)}
	var ends []*call
	for i, far := range []peer{far1, far2} {
		ends = append(ends, start(func() (int64, error) {
			n, err := far.do(task{Op: "exchange", N: size, Seed: uint64(i)})
			return n, errors.Join(err, far.CloseWrite())
		}))
	}
	for _, c := range append(ends, proxies...) {
		n, err := c.wait(t)
		wantCount(t, "copy", n, err, size)
	}
	wantEOF(t, far1)
	wantEOF(t, far2)
}
