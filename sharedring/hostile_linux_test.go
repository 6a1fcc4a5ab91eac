package sharedring

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/internal/doorbell"
	"github.com/shmconn/shmconn/memfd"
)

// asFile takes ownership of a descriptor.
func asFile(t testing.TB, fd int, err error) *os.File {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "hostile")
	t.Cleanup(func() { f.Close() })
	return f
}

func rawMemfd(t testing.TB, size int64, seals memfd.Seals) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("hostile", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	f := asFile(t, fd, err)
	if err := errors.Join(f.Truncate(size), memfd.AddSeals(f, seals)); err != nil {
		t.Fatal(err)
	}
	return f
}

func eventfd(t testing.TB, flags int) *os.File {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|flags)
	return asFile(t, fd, err)
}

// openBoth tries the files with both ends and gives the errors.
func openBoth(t *testing.T, capacity int, mem, empty, full *os.File) (sender, receiver error) {
	t.Helper()
	s, sender := OpenSender[uint64](capacity, mem, empty, full)
	if sender == nil {
		s.Close()
	}
	r, receiver := OpenReceiver[uint64](capacity, mem, empty, full)
	if receiver == nil {
		r.Close()
	}
	return sender, receiver
}

func TestOpenMemory(t *testing.T) {
	page := int64(os.Getpagesize())
	dir := t.TempDir()
	regular, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	regular.Truncate(page)
	t.Cleanup(func() { regular.Close() })
	p, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(); w.Close() })
	zero, err := os.OpenFile("/dev/zero", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { zero.Close() })
	corrupt := rawMemfd(t, page, memfd.SealShrink)
	corrupt.WriteAt([]byte{255, 255, 255, 255, 255, 255, 255, 255}, 0)

	checkLeaks(t)
	for name, test := range map[string]struct {
		file *os.File
		want error
	}{
		"as the crate makes it": {rawMemfd(t, page, memfd.SealShrink), nil},
		"growth sealed, too":    {rawMemfd(t, page, memfd.SizeSealed|memfd.SealSeal), nil},
		"no seals":              {rawMemfd(t, page, 0), ErrUnsafe},
		"growth sealed only":    {rawMemfd(t, page, memfd.SealGrow), ErrUnsafe},
		"write-sealed":          {rawMemfd(t, page, memfd.SealShrink|memfd.SealWrite), ErrUnsafe},
		"future writes sealed":  {rawMemfd(t, page, memfd.WriterSealed), ErrUnsafe},
		"empty":                 {rawMemfd(t, 0, memfd.SealShrink), ErrUnsafe},
		"a byte short":          {rawMemfd(t, page-1, memfd.SealShrink), ErrUnsafe},
		"a page too long":       {rawMemfd(t, 2*page, memfd.SealShrink), ErrUnsafe},
		"another capacity":      {rawMemfd(t, 16*page, memfd.SealShrink), ErrUnsafe},
		"regular file":          {regular, ErrUnsafe},
		"pipe":                  {p, ErrUnsafe},
		"device":                {zero, ErrUnsafe},
		"eventfd":               {eventfd(t, 0), ErrUnsafe},
		"count too large":       {corrupt, ErrCorrupt},
		"nil":                   {nil, os.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			checkLeaks(t)
			err1, err2 := openBoth(t, 100, test.file, eventfd(t, 0), eventfd(t, 0))
			for _, err := range []error{err1, err2} {
				if !errors.Is(err, test.want) || test.want == nil && err != nil {
					t.Errorf("%v, want %v", err, test.want)
				}
			}
		})
	}
}

func TestOpenSignals(t *testing.T) {
	checkLeaks(t)
	mem := rawMemfd(t, int64(os.Getpagesize()), memfd.SealShrink)
	closed := eventfd(t, 0)
	closed.Close()
	p, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	defer w.Close()
	for name, test := range map[string]struct {
		file *os.File
		want error
	}{
		"blocking":     {eventfd(t, 0), nil},
		"non-blocking": {eventfd(t, unix.EFD_NONBLOCK), nil},
		"semaphore":    {eventfd(t, unix.EFD_SEMAPHORE), nil},
		"pipe":         {w, ErrUnsafe},
		"memory":       {mem, ErrUnsafe},
		"closed":       {closed, os.ErrClosed},
		"nil":          {nil, os.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			checkLeaks(t)
			err1, err2 := openBoth(t, 100, mem, test.file, eventfd(t, 0))
			err3, err4 := openBoth(t, 100, mem, eventfd(t, 0), test.file)
			for _, err := range []error{err1, err2, err3, err4} {
				if !errors.Is(err, test.want) || test.want == nil && err != nil {
					t.Errorf("%v, want %v", err, test.want)
				}
			}
		})
	}
}

// The waits are the same in all modes of the eventfds, and leave the mode alone.
func TestEventfdModes(t *testing.T) {
	for name, flags := range map[string]int{"blocking": 0, "non-blocking": unix.EFD_NONBLOCK, "semaphore": unix.EFD_SEMAPHORE} {
		t.Run(name, func(t *testing.T) {
			checkLeaks(t)
			mem := rawMemfd(t, int64(os.Getpagesize()), memfd.SealShrink)
			empty, full := eventfd(t, flags), eventfd(t, flags)
			s, err := OpenSender[uint64](1, mem, empty, full)
			if err != nil {
				t.Fatal(err)
			}
			closeAtEnd(t, s)
			r, err := OpenReceiver[uint64](1, mem, empty, full)
			if err != nil {
				t.Fatal(err)
			}
			closeAtEnd(t, r)
			mem.Close() // the ends have their own
			const total = 100_000
			go func() {
				for i := uint64(0); i < total; i += 100 {
					var out [100]uint64
					for j := range out {
						out[j] = i + uint64(j)
					}
					if _, err := s.Send(out[:]); err != nil {
						t.Error(err)
					}
				}
			}()
			within(t, "the transfer", func() {
				var in [33]uint64
				for want := uint64(0); want < total; {
					n, err := r.Receive(in[:])
					if err != nil {
						t.Error(err)
						return
					}
					for _, v := range in[:n] {
						if v != want {
							t.Errorf("received %d, want %d", v, want)
							return
						}
						want++
					}
				}
				r.SetDeadline(time.Now().Add(10 * time.Millisecond))
				if _, err := r.Receive(in[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error(err)
				}
			})
			for _, f := range []*os.File{empty, full} {
				if err := control(f, func(fd int) error {
					got, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
					if got&unix.O_NONBLOCK != flags&unix.EFD_NONBLOCK {
						t.Errorf("mode was changed to %#x", got)
					}
					return err
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// setCount does what a peer can do at any time.
func setCount(e *end, v uint64) { e.queue.count.Store(uintptr(v)) }

func TestHostileCount(t *testing.T) {
	for _, count := range []uint64{505, 1 << 20, math.MaxInt32 + 1, math.MaxInt, math.MaxInt + 1, math.MaxUint - 1, math.MaxUint} {
		s, r := pair[uint64](t, 100)
		setCount(s.end, count)
		b := make([]uint64, 600)
		for range 2 {
			_, _, err1 := s.TrySend(b)
			_, err2 := s.SendRaw(func(Raw[uint64]) int { t.Error("called"); return 0 })
			_, err3 := s.Send(b)
			_, err4 := s.WaitWritable(t.Context())
			_, err5 := s.Free()
			_, _, err6 := r.TryReceive(b)
			_, err7 := r.ReceiveTrusted(func([]uint64) int { t.Error("called"); return 0 })
			_, err8 := r.Receive(b)
			_, err9 := r.WaitReadable(t.Context())
			_, err10 := r.Len()
			for i, err := range []error{err1, err2, err3, err4, err5, err6, err7, err8, err9, err10} {
				if !errors.Is(err, ErrCorrupt) {
					t.Errorf("count %#x, call %d: %v", count, i+1, err)
				}
			}
			setCount(s.end, 0) // too late: the error stays
		}
		if _, _, err := s.TrySend(b); err == nil || strings.Count(err.Error(), "sharedring:") != 1 {
			t.Errorf("error %q", err)
		}
	}
}

// The count changes between the look at it and the addition, which is when
// callbacks run.
func TestHostileCountInBetween(t *testing.T) {
	for name, test := range map[string]struct {
		before, during uint64
		send           bool
		want           error
	}{
		"items appear before a sender":          {1, 3, true, ErrCorrupt},
		"a sender overflows":                    {1, 504, true, ErrCorrupt},
		"a sender wraps around":                 {1, math.MaxUint64, true, ErrCorrupt},
		"items are taken from before a sender":  {3, 1, true, nil},
		"items vanish before a receiver":        {3, 2, false, ErrCorrupt},
		"a receiver underflows":                 {3, 0, false, ErrCorrupt},
		"a receiver finds too many":             {3, 505, false, ErrCorrupt},
		"items are added before a receiver":     {3, 504, false, nil},
		"a receiver finds the highest of words": {3, math.MaxUint64, false, ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			s, r := pair[uint64](t, 100)
			setCount(s.end, test.before)
			var err error
			if test.send {
				_, err = s.SendRaw(func(Raw[uint64]) int { setCount(s.end, test.during); return 1 })
			} else {
				_, err = r.ReceiveRaw(func(p Raw[uint64]) int { setCount(r.end, test.during); return p.Len() })
			}
			if !errors.Is(err, test.want) || test.want == nil && err != nil {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

// A peer that scribbles over the count all the time gets errors or nonsense out
// of an end, and no panic.
func TestScribble(t *testing.T) {
	s, r := pair[[3]byte](t, 100)
	full := uint64(s.Capacity())
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		values := []uint64{0, 1, full, full - 1, full + 1, math.MaxUint64, 7}
		for i := 0; !stop.Load(); i++ {
			setCount(s.end, values[i%len(values)])
		}
	}()
	var errs int
	buf := make([][3]byte, 2*full)
	for range 20_000 {
		_, _, err1 := s.TrySend(buf)
		_, _, err2 := r.TryReceive(buf)
		for _, err := range []error{err1, err2} {
			if err != nil {
				if !errors.Is(err, ErrCorrupt) {
					t.Fatal(err)
				}
				errs++
			}
		}
		s.end.err, r.end.err = nil, nil // once more
		if s.end.queue.index >= int(full) || r.end.queue.index >= int(full) {
			t.Fatal("index out of bounds")
		}
	}
	stop.Store(true)
	<-done
	if errs == 0 {
		t.Error("nothing was noticed")
	}
}

// A peer wakes without cause, and takes the signals away.
func TestSpuriousSignals(t *testing.T) {
	s, r := pair[byte](t, 1)
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		var b [8]byte
		for !stop.Load() {
			s.EmptySignal().Write(one)
			control(s.EmptySignal(), func(fd int) error {
				unix.Preadv2(fd, [][]byte{b[:]}, -1, unix.RWF_NOWAIT)
				return nil
			})
		}
	}()
	within(t, "waiting among signals", func() {
		r.SetDeadline(time.Now().Add(50 * time.Millisecond))
		if n, err := r.Receive(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(n, err)
		}
		r.SetDeadline(time.Time{})
	})
	stop.Store(true)
	<-done
}

// A peer fills the counter that this end adds to.
func TestSignalBlocked(t *testing.T) {
	s, r := pair[byte](t, 1)
	most := binary.NativeEndian.AppendUint64(nil, math.MaxUint64-1)
	if _, err := s.EmptySignal().Write(most); err != nil {
		t.Fatal(err)
	}
	within(t, "a blocked signal", func() {
		if _, _, err := s.TrySend([]byte{1}); !errors.Is(err, ErrCorrupt) {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	// In non-blocking mode it is the peer's own loss.
	if _, err := r.FullSignal().Write(most); err != nil {
		t.Fatal(err)
	}
	if err := control(r.FullSignal(), func(fd int) error { return unix.SetNonblock(fd, true) }); err != nil {
		t.Fatal(err)
	}
	setCount(r.end, uint64(r.Capacity()))
	if n, st, err := r.TryReceive(make([]byte, 1)); n != 1 || !st.Signalled || err != nil {
		t.Error(n, st, err)
	}
}

func TestErrUnsafeSaysMore(t *testing.T) {
	_, err := OpenSender[uint64](100, rawMemfd(t, int64(os.Getpagesize()), 0), eventfd(t, 0), eventfd(t, 0))
	if err == nil || !strings.Contains(err.Error(), "SHRINK") {
		t.Error(err)
	}
	_, err = OpenSender[uint64](100, eventfd(t, 0), eventfd(t, 0), eventfd(t, 0))
	if !errors.Is(err, memfd.ErrUnsafe) {
		t.Error(err)
	}
	_, err = OpenSender[uint64](100, rawMemfd(t, int64(os.Getpagesize()), memfd.SealShrink), rawMemfd(t, 0, 0), eventfd(t, 0))
	if !errors.Is(err, doorbell.ErrNotDoorbell) {
		t.Error(err)
	}
}
