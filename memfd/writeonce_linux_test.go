package memfd

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"
)

// content is size bytes that are not zero.
func content(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + 1)
	}
	return b
}

func writeOnce(t *testing.T, want []byte) *os.File {
	t.Helper()
	name := checkLeaks(t)
	f, err := WriteOnce(name, int64(len(want)), func(mem []byte) error {
		if len(mem) != len(want) || cap(mem) != len(want) {
			t.Errorf("fill gets %d of %d bytes, want %d", len(mem), cap(mem), len(want))
		}
		copy(mem, want)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func view(t *testing.T, f *os.File) *View {
	t.Helper()
	v, err := ReadOnly(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

func TestWriteOnce(t *testing.T) {
	page := os.Getpagesize()
	for _, size := range []int{1, 7, page - 1, page, page + 1, 3*page + 5, 1 << 20} {
		want := content(size)
		f := writeOnce(t, want)
		if s, err := GetSeals(f); err != nil || s&^SealExec != ContentSealed {
			t.Errorf("seals are %v, %v; want %v", s, err, ContentSealed)
		}
		v := view(t, f)
		f.Close() // the view does not need it
		if v.Size() != int64(size) || !bytes.Equal(v.Bytes(), want) {
			t.Errorf("content of %d bytes differs", size)
		}
		if err := iotest.TestReader(v.Reader(), want); err != nil && size < 1<<20 {
			t.Error(err)
		}
		var out bytes.Buffer
		if n, err := v.WriteTo(&out); n != int64(size) || err != nil || !bytes.Equal(out.Bytes(), want) {
			t.Errorf("WriteTo: %d, %v", n, err)
		}
		hash := sha256.New()
		if _, err := io.Copy(hash, v.Reader()); err != nil || [32]byte(hash.Sum(nil)) != sha256.Sum256(want) {
			t.Errorf("hash differs, %v", err)
		}
	}
}

// The content is final, also for its creator.
func TestWriteOnceIsFinal(t *testing.T) {
	want := content(testSize)
	f := writeOnce(t, want)
	if err := control(f, func(fd int) error {
		for _, a := range attacks {
			// Read-only shared mappings of such a file are refused before
			// Linux 6.7, and mprotect is refused after.
			if err := a.do(fd); err == nil {
				t.Errorf("%s: was allowed", a.name)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(view(t, f).Bytes(), want) {
		t.Error("content has changed")
	}
}

func TestWriteOnceFails(t *testing.T) {
	name := checkLeaks(t)
	sentinel := errors.New("no content")
	if _, err := WriteOnce(name, 100, func([]byte) error { return sentinel }); !errors.Is(err, sentinel) {
		t.Error(err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		WriteOnce(name, 100, func([]byte) error { panic("oops") })
	}()
	for _, size := range []int64{0, -1, -1 << 63, 1<<63 - 1} {
		if _, err := WriteOnce(name, size, func([]byte) error { return nil }); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("size %d: %v", size, err)
		}
	}
	if _, err := WriteOnce(strings.Repeat("x", 250), 1, func([]byte) error { return nil }); !errors.Is(err, unix.EINVAL) {
		t.Error(err)
	}
}

func TestReadOnlyRefuses(t *testing.T) {
	regular, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer regular.Close()
	regular.Truncate(testSize)
	closed := rawMemfd(t, unix.MFD_ALLOW_SEALING, testSize, 0)
	closed.Close()
	for name, test := range map[string]struct {
		file *os.File
		want error
	}{
		"no seals":             {rawMemfd(t, unix.MFD_ALLOW_SEALING, testSize, 0), ErrUnsafe},
		"can shrink":           {rawMemfd(t, unix.MFD_ALLOW_SEALING, testSize, SealWrite), ErrUnsafe},
		"can be written to":    {rawMemfd(t, unix.MFD_ALLOW_SEALING, testSize, SizeSealed), ErrUnsafe},
		"future writes sealed": {rawMemfd(t, unix.MFD_ALLOW_SEALING, testSize, WriterSealed), ErrUnsafe},
		"empty":                {rawMemfd(t, unix.MFD_ALLOW_SEALING, 0, ContentSealed), ErrUnsafe},
		"regular":              {regular, ErrUnsafe},
		"closed":               {closed, os.ErrClosed},
		"nil":                  {nil, os.ErrInvalid},
		"just enough":          {rawMemfd(t, unix.MFD_ALLOW_SEALING, 5, SealShrink|SealWrite), nil},
	} {
		v, err := ReadOnly(test.file)
		if test.want == nil && err == nil {
			v.Close()
		} else if !errors.Is(err, test.want) || test.want == nil {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// Content is mapped up to the size that the caller allows.
func TestReadOnlyLimit(t *testing.T) {
	want := content(5000)
	f := writeOnce(t, want)
	if err := VerifyContent(f); err != nil {
		t.Error(err)
	}
	if err := control(f, func(fd int) error {
		for _, limit := range []int64{-1, 0, 1, 4999} {
			if v, err := ReadOnlyFD(fd, limit); v != nil || !errors.Is(err, unix.EFBIG) || errors.Is(err, ErrUnsafe) {
				t.Errorf("limit of %d: %v, %v", limit, v, err)
			}
		}
		v, err := ReadOnlyFD(fd, 5000)
		if err != nil {
			return err
		}
		defer v.Close()
		if !bytes.Equal(v.Bytes(), want) {
			t.Error("content differs")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestViewClosed(t *testing.T) {
	v := view(t, writeOnce(t, content(100)))
	if n, err := v.ReadAt(make([]byte, 10), 95); n != 5 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if n, err := v.ReadAt(make([]byte, 10), 90); n != 10 || err != nil {
		t.Errorf("up to the end: %d, %v", n, err)
	}
	if _, err := v.ReadAt(make([]byte, 1), 100); err != io.EOF {
		t.Errorf("behind the end: %v", err)
	}
	if _, err := v.ReadAt(make([]byte, 1), -1); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("before the start: %v", err)
	}
	if err := errors.Join(v.Close(), v.Close()); err != nil {
		t.Error(err)
	}
	_, err1 := v.ReadAt(make([]byte, 1), 0)
	_, err2 := v.WriteTo(io.Discard)
	if !errors.Is(err1, os.ErrClosed) || !errors.Is(err2, os.ErrClosed) || v.Bytes() != nil {
		t.Error("after Close: ", err1, err2)
	}
}

func TestConfig(t *testing.T) {
	name := checkLeaks(t)
	c := &Config{Seals: SealShrink | SealWrite}
	f, err := c.WriteOnce(name, 10, func(mem []byte) error { copy(mem, "0123456789"); return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if s, err := GetSeals(f); err != nil || s&^SealExec != c.Seals {
		t.Errorf("seals are %v, %v", s, err)
	}
	if string(view(t, f).Bytes()) != "0123456789" {
		t.Error("content differs")
	}
	g, err := (&Config{Seals: SealGrow, Flags: unix.MFD_EXEC}).Create(name, testSize)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if s, err := GetSeals(g); err != nil || s != SealGrow {
		t.Errorf("seals are %v, %v", s, err)
	}
	if info, err := Inspect(g); err != nil || info != (Info{Size: testSize, Seals: SealGrow}) {
		t.Errorf("%+v, %v", info, err)
	}
	for _, huge := range []int64{-2, 3, 1<<21 + 1, -1 << 63} {
		if _, err := (&Config{HugePage: huge}).Create(name, testSize); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("huge pages of %d: %v", huge, err)
		}
	}
}

// Huge pages are there or are not, and neither may fault.
func TestHugePages(t *testing.T) {
	name := checkLeaks(t)
	f, err := (&Config{HugePage: DefaultHugePage}).WriteOnce(name, 100, func(mem []byte) error { mem[99] = 1; return nil })
	if err != nil {
		if !errors.Is(err, unix.ENOMEM) && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EINVAL) {
			t.Errorf("without huge pages: %v", err)
		}
		return
	}
	defer f.Close()
	info, err := Inspect(f)
	if err != nil || info.HugePage < 64<<10 || info.Size != info.HugePage {
		t.Errorf("%+v, %v", info, err)
	}
	if v := view(t, f); v.Bytes()[99] != 1 {
		t.Error("content differs")
	}
}
