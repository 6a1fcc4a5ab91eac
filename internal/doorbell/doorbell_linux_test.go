package doorbell

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const patience = 30 * time.Second

// newBell returns a bell and its descriptor, which is the bell's.
func newBell(t *testing.T) (*Bell, int) {
	t.Helper()
	fd, err := Create()
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b, fd
}

// newRinger returns a ringer of its own descriptor for the bell at fd.
func newRinger(t *testing.T, fd int) *Ringer {
	t.Helper()
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := NewRinger(dup)
	t.Cleanup(func() {
		r.Close()
		unix.Close(dup)
	})
	return r
}

// within fails the test if f takes longer than d.
func within(t *testing.T, d time.Duration, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(d):
		t.Fatalf("%s takes longer than %v", what, d)
	}
}

func TestVerify(t *testing.T) {
	dir := t.TempDir()
	open := func(fd int, err error) int {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	open(pipe[0], nil)
	for name, fd := range map[string]int{
		"pipe":      open(pipe[1], nil),
		"file":      open(unix.Open(filepath.Join(dir, "anon_inode:[eventfd]"), unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)),
		"directory": open(unix.Open(dir, unix.O_RDONLY|unix.O_CLOEXEC, 0)),
		"socket":    open(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)),
		"timerfd":   open(unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC)),
		"epoll":     open(unix.EpollCreate1(unix.EPOLL_CLOEXEC)),
		"zero":      open(unix.Open("/dev/zero", unix.O_RDWR|unix.O_CLOEXEC, 0)),
		"memfd":     open(unix.MemfdCreate("anon_inode:[eventfd]", unix.MFD_CLOEXEC)),
		"inotify":   open(unix.InotifyInit1(unix.IN_CLOEXEC)),
	} {
		if err := Verify(fd); !errors.Is(err, ErrNotDoorbell) {
			t.Errorf("%s: %v, want ErrNotDoorbell", name, err)
		}
	}
	if err := Verify(open(Create())); err != nil {
		t.Errorf("doorbell: %v", err)
	}
	if err := Verify(1 << 20); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no descriptor: %v", err)
	}
}

// TestOpenBlocking opens a doorbell whose O_NONBLOCK a peer has cleared, which
// would keep it from the poller and its deadlines from working.
func TestOpenBlocking(t *testing.T) {
	fd, err := Create()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	b, err := Open(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	within(t, patience, "wait until a deadline", func() {
		if err := b.WaitRead(never); err != os.ErrDeadlineExceeded {
			t.Errorf("wait: %v", err)
		}
	})
}

// TestOpenNotPollable takes ownership even of what is no doorbell.
func TestOpenNotPollable(t *testing.T) {
	fd, err := unix.Open("/dev/zero", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(fd); err == nil {
		t.Error("opened")
	}
	if err := unix.Close(fd); err != unix.EBADF {
		t.Errorf("descriptor is not closed: %v", err)
	}
}

func never(uintptr) bool { return false }

// TestNoEdgeLost rings many times and has both waiters see a state that was
// set before each ring, whatever the timing: the state is looked at only when
// the bell is heard.
func TestNoEdgeLost(t *testing.T) {
	b, fd := newBell(t)
	r := newRinger(t, fd)
	const rings = 50_000
	var sent atomic.Int64
	var mu sync.Mutex
	heard := sync.NewCond(&mu)
	var reader, writer int64 // guarded by mu: the last that each has seen
	var wg sync.WaitGroup
	listen := func(wait func(func(uintptr) bool) error, seen *int64) {
		wg.Go(func() {
			for n := int64(0); n < rings; {
				if err := wait(func(uintptr) bool { return sent.Load() > n }); err != nil {
					return // closed, because the test has failed
				}
				n = sent.Load()
				mu.Lock()
				*seen = n
				heard.Broadcast()
				mu.Unlock()
			}
		})
	}
	listen(b.WaitRead, &reader)
	listen(b.WaitWrite, &writer)
	within(t, patience, "hearing all rings", func() {
		for i := int64(1); i <= rings; i++ {
			sent.Store(i)
			if err := r.Ring(); err != nil {
				t.Error(err)
				return
			}
			if i%2 == 1 {
				continue
			}
			// Both go back to sleep now, or are about to when the next ring comes.
			mu.Lock()
			for reader < i || writer < i {
				heard.Wait()
			}
			mu.Unlock()
		}
		wg.Wait()
	})
}

// TestCreateCloseOnExec keeps children from ringing.
func TestCreateCloseOnExec(t *testing.T) {
	fd, err := Create()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags are %#x, %v; want FD_CLOEXEC", flags, err)
	}
}

// TestCountNeverMoves is what makes reading the doorbell superfluous.
func TestCountNeverMoves(t *testing.T) {
	_, fd := newBell(t)
	r := newRinger(t, fd)
	for range 1000 {
		if err := r.Ring(); err != nil {
			t.Fatal(err)
		}
	}
	var count [8]byte
	if _, err := unix.Read(fd, count[:]); err != nil || count != [8]byte{1} && count != [8]byte{7: 1} {
		t.Errorf("count is %v, %v; want 1", count, err)
	}
}

// TestDeadlines sets and moves deadlines under sleeping waiters.
func TestDeadlines(t *testing.T) {
	b, _ := newBell(t)
	for name, side := range map[string]struct {
		wait func(func(uintptr) bool) error
		set  func(time.Time) error
	}{
		"read":  {b.WaitRead, b.SetReadDeadline},
		"write": {b.WaitWrite, b.SetWriteDeadline},
	} {
		sleeping := make(chan struct{}, 1)
		result := make(chan error, 1)
		go func() {
			result <- side.wait(func(uintptr) bool {
				select {
				case sleeping <- struct{}{}:
				default:
				}
				return false
			})
		}()
		<-sleeping
		for _, at := range []time.Time{time.Now().Add(time.Hour), {}, time.Now().Add(-time.Hour)} {
			if err := side.set(at); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		within(t, patience, "a deadline in the past", func() {
			if err := <-result; err != os.ErrDeadlineExceeded {
				t.Errorf("%s: %v", name, err)
			}
		})
		side.set(time.Time{})
	}
}

// TestClose wakes all waiters, and keeps saying so.
func TestClose(t *testing.T) {
	b, fd := newBell(t)
	sleeping := make(chan struct{}, 2)
	results := make(chan error, 2)
	announce := func(uintptr) bool {
		select {
		case sleeping <- struct{}{}:
		default:
		}
		return false
	}
	go func() { results <- b.WaitRead(announce) }()
	<-sleeping
	go func() { results <- b.WaitWrite(announce) }()
	<-sleeping
	within(t, patience, "Close", func() {
		b.Close()
		for range 2 {
			if err := <-results; err != net.ErrClosed {
				t.Errorf("wait: %v", err)
			}
		}
	})
	if err := b.WaitRead(never); err != net.ErrClosed {
		t.Errorf("wait after Close: %v", err)
	}
	if err := b.SetReadDeadline(time.Time{}); err != net.ErrClosed {
		t.Errorf("deadline after Close: %v", err)
	}
	if err := unix.Close(fd); err != unix.EBADF {
		t.Errorf("descriptor is not closed: %v", err)
	}
}

// TestRingDoesNotAllocate, nor take a thread.
func TestRingDoesNotAllocate(t *testing.T) {
	_, fd := newBell(t)
	r := newRinger(t, fd)
	if n := testing.AllocsPerRun(100, func() { r.Ring() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRing(b *testing.B) {
	fd, err := Create()
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	r := NewRinger(fd)
	defer r.Close()
	for b.Loop() {
		if err := r.Ring(); err != nil {
			b.Fatal(err)
		}
	}
}
