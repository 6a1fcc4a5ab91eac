package hangup

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const patience = 30 * time.Second

// pair returns both ends of a unix socket.
func pair(t testing.TB) (near, far *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = c.(*net.UnixConn)
		t.Cleanup(func() { c.Close() })
	}
	return ends[0], ends[1]
}

// watch starts watching sock until the end of the test.
func watch(t testing.TB, sock *net.UnixConn) (gone chan struct{}, w *Watch) {
	t.Helper()
	gone = make(chan struct{}, 16)
	w, err := Start(sock, func() { gone <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	return gone, w
}

func await(t testing.TB, gone chan struct{}) {
	t.Helper()
	select {
	case <-gone:
	case <-time.After(patience):
		t.Fatal("hang-up is not reported")
	}
}

// settled has everything that has happened so far reported, by way of another
// socket: reports come in no particular order, but none comes later than the
// one of a hang-up that a look of the same goroutine has found.
func settled(t testing.TB) {
	t.Helper()
	for range 2 {
		near, far := pair(t)
		gone, w := watch(t, near)
		far.Close()
		await(t, gone)
		w.Stop()
		near.Close()
	}
}

func TestHangup(t *testing.T) {
	for name, hangUp := range map[string]func(far *net.UnixConn) error{
		"close":        (*net.UnixConn).Close,
		"shutdown":     (*net.UnixConn).CloseWrite,
		"close unread": func(far *net.UnixConn) error { far.SetReadDeadline(time.Now()); return far.Close() },
		"close with data": func(far *net.UnixConn) error {
			far.Write([]byte("last words"))
			return far.Close()
		},
	} {
		for _, before := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				near, far := pair(t)
				near.Write([]byte("unread"))
				if before {
					if err := hangUp(far); err != nil {
						t.Fatal(err)
					}
				}
				gone, w := watch(t, near)
				defer w.Stop()
				if !before {
					if err := hangUp(far); err != nil {
						t.Fatal(err)
					}
				}
				await(t, gone)
				settled(t)
				if len(gone) > 0 {
					t.Error("hang-up is reported again")
				}
			})
		}
	}
}

// TestNoHangup checks what is none: data, and the far end's reading no more.
func TestNoHangup(t *testing.T) {
	near, far := pair(t)
	gone, w := watch(t, near)
	defer w.Stop()
	far.Write([]byte("data"))
	near.Write([]byte("data"))
	settled(t)
	if len(gone) > 0 {
		t.Error("data is taken for a hang-up")
	}
	buf := make([]byte, 10)
	if n, err := near.Read(buf); err != nil || string(buf[:n]) != "data" {
		t.Errorf("read %q, %v; want the watch to leave the data alone", buf[:n], err)
	}
	far.Close()
	await(t, gone)
}

// TestStop reports nothing afterwards.
func TestStop(t *testing.T) {
	near, far := pair(t)
	gone, w := watch(t, near)
	w.Stop()
	far.Close()
	settled(t)
	if len(gone) > 0 {
		t.Error("a hang-up is reported after Stop")
	}
}

// unused waits until the epoll instance of earlier watches is gone.
func unused(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(patience); ; runtime.Gosched() {
		watcher.mu.Lock()
		left, open := len(watcher.watches), watcher.epoll != nil
		watcher.mu.Unlock()
		if left > 0 {
			t.Fatalf("%d watches are left", left)
		}
		if !open {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the epoll instance stays open without watches")
		}
	}
}

// TestIdleTimerInUse has the timer that closes what is idle fire just after the
// next watch has begun.
func TestIdleTimerInUse(t *testing.T) {
	near, far := pair(t)
	gone, w := watch(t, near)
	defer w.Stop()
	closeIdle()
	far.Close()
	await(t, gone)
}

// TestUnused has neither descriptor nor goroutine for long while nothing is
// watched.
func TestUnused(t *testing.T) {
	settled(t)
	unused(t)
	idle := func() (fds, routines int) {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range stacks() {
			if strings.Contains(s, "hangup.run(") {
				routines++
			}
		}
		return len(entries), routines
	}
	fds, _ := idle()
	near, _ := pair(t)
	_, w := watch(t, near)
	settle := func(wantFDs, wantRoutines int) {
		t.Helper()
		for end := time.Now().Add(patience); ; runtime.Gosched() {
			got, routines := idle()
			if got == fds+wantFDs && routines == wantRoutines {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%d descriptors more, %d goroutines; want %d and %d", got-fds, routines, wantFDs, wantRoutines)
			}
		}
	}
	settle(3, 1)
	w.Stop()
	settle(2, 0)
}

func stacks() []string {
	buf := make([]byte, 1<<20)
	return strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
}

// TestMany watches more sockets than one look of the watcher returns, whose
// far ends close at the same time, while others start and stop.
func TestMany(t *testing.T) {
	var reported atomic.Int64
	var wg sync.WaitGroup
	const sockets = 300
	for range sockets {
		near, far := pair(t)
		w, err := Start(near, func() { reported.Add(1) })
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		wg.Go(func() { far.Close() })
		wg.Go(func() {
			near, far := pair(t)
			w, err := Start(near, func() {})
			if err != nil {
				t.Error(err)
				return
			}
			go far.Close()
			w.Stop()
			near.Close()
		})
	}
	wg.Wait()
	for end := time.Now().Add(patience); reported.Load() < sockets; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d of %d hang-ups are reported", reported.Load(), sockets)
		}
	}
}

// TestStopRace stops while the hang-up is being reported, from the report too.
func TestStopRace(t *testing.T) {
	for range 500 {
		near, far := pair(t)
		started := make(chan *Watch, 1)
		reported := make(chan struct{}, 1)
		w, err := Start(near, func() {
			select {
			case w := <-started:
				w.Stop()
				reported <- struct{}{}
			default: // the test has it
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		started <- w // before the hang-up, and so before the report
		go far.Close()
		runtime.Gosched()
		select {
		case <-reported:
		case w := <-started:
			w.Stop()
		}
		near.Close()
		far.Close()
	}
}

// TestDuplicate closes a watched socket of which somebody, such as a child that
// is being forked, has a duplicate: the kernel would go on reporting it.
func TestDuplicate(t *testing.T) {
	near, far := pair(t)
	gone, w := watch(t, near)
	dup, err := near.File()
	if err != nil {
		t.Fatal(err)
	}
	defer dup.Close()
	w.Stop()
	near.Close()
	far.Close()
	settled(t)
	if len(gone) > 0 {
		t.Error("a hang-up is reported after Stop and Close")
	}
	if n := members(t); n > 0 {
		t.Errorf("%d sockets are left in the epoll set", n)
	}
}

// members returns how many descriptors the watcher's epoll set holds.
func members(t testing.TB) (n int) {
	t.Helper()
	watcher.mu.Lock()
	defer watcher.mu.Unlock()
	raw, err := watcher.epoll.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		var info []byte
		info, err = os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
		n = strings.Count(string(info), "tfd:")
	}); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestClosedSocket cannot be watched, and leaves nothing.
func TestClosedSocket(t *testing.T) {
	near, _ := pair(t)
	near.Close()
	if _, err := Start(near, func() {}); err == nil {
		t.Error("a closed socket is watched")
	}
	unused(t)
}

// TestKilled has the far end's process killed.
func TestKilled(t *testing.T) {
	near, far := pair(t)
	file, err := far.File()
	if err != nil {
		t.Fatal(err)
	}
	cat := exec.Command("cat")
	cat.ExtraFiles = []*os.File{file}
	in, err := cat.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cat.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cat.Start(); err != nil {
		t.Fatal(err)
	}
	defer cat.Wait()
	defer cat.Process.Kill()
	file.Close()
	far.Close()
	gone, w := watch(t, near)
	defer w.Stop()
	// It runs, and holds the socket.
	io.WriteString(in, "x")
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	settled(t)
	if len(gone) > 0 {
		t.Fatal("hang-up while a process has the far end")
	}
	cat.Process.Kill()
	await(t, gone)
}
