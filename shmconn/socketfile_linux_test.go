package shmconn_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/shmconn"
)

// TestBadPath has Dial and Listen explain what is wrong with a path, in the
// form of package net's errors.
func TestBadPath(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	dir := filepath.Dir(socketPath(t))
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(dir, strings.Repeat("l", 108))
	for _, test := range []struct {
		op, path string
		want     error
	}{
		{"dial", filepath.Join(dir, "missing"), syscall.ENOENT},
		{"dial", file, syscall.ECONNREFUSED},
		{"dial", dir, syscall.ECONNREFUSED},
		{"dial", file + "/below", syscall.ENOTDIR},
		{"dial", long, syscall.EINVAL},
		{"listen", filepath.Join(dir, "missing", "s"), syscall.ENOENT},
		{"listen", file, syscall.EADDRINUSE},
		{"listen", dir, syscall.EADDRINUSE},
		{"listen", long, syscall.EINVAL},
	} {
		for _, network := range []string{"unix", "shm"} {
			t.Run(test.op+" "+network+" "+test.want.Error(), func(t *testing.T) {
				var err error
				if test.op == "dial" {
					_, err = shmconn.Dial(network, test.path)
				} else {
					_, err = shmconn.Listen(network, test.path)
				}
				var op *net.OpError
				if !errors.As(err, &op) || err != error(op) || op.Op != test.op || op.Net != "unix" || op.Source != nil || op.Addr.String() != test.path {
					t.Fatalf("error is %#v, want a *net.OpError of %s without a source", err, test.op)
				}
				if !errors.Is(err, test.want) {
					t.Errorf("error is %v, want %v", err, test.want)
				}
			})
		}
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("a failed Listen has removed what was in its way: %v", err)
	}
}

// TestBadRingSize is refused before anything is opened.
func TestBadRingSize(t *testing.T) {
	for _, size := range []int{-1, 1, 64, 2048, 5000, 1<<30 + 1} {
		d := shmconn.Dialer{RingSize: size}
		if _, err := d.Dial("unix", "/nonexistent/s"); err == nil || !strings.Contains(err.Error(), "ring size") {
			t.Errorf("Dial with ring size %d: %v", size, err)
		}
		for _, lc := range []shmconn.ListenConfig{{RingSize: size}, {MaxRingSize: size}} {
			path := socketPath(t)
			if _, err := lc.Listen(context.Background(), "unix", path); err == nil || !strings.Contains(err.Error(), "ring size") {
				t.Errorf("Listen with ring size %d: %v", size, err)
			}
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("socket file: %v", err)
			}
		}
	}
}

// TestFullBacklog fills the backlog of a server that does not accept. Dial
// keeps trying until its context ends, and gets in when there is room.
func TestFullBacklog(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	path := socketPath(t)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "listener")
	defer file.Close()
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for full := false; !full; {
		c, err := net.Dial("unix", path)
		if full = errors.Is(err, syscall.EAGAIN); full {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}

	for _, network := range []string{"unix", "shm"} {
		ctx, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
		start := time.Now()
		_, err := new(shmconn.Dialer).DialContext(ctx, network, path)
		if took := time.Since(start); took < 140*time.Millisecond {
			t.Errorf("%s: gave up after %v", network, took)
		}
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "backlog") {
			t.Errorf("%s: error is %v, want one about the deadline and the backlog", network, err)
		}
		if op, ok := err.(*net.OpError); !ok || !op.Timeout() || op.Op != "dial" {
			t.Errorf("%s: error is %#v, want a *net.OpError of dial that has timed out", network, err)
		}
		cancel()
	}

	result := make(chan error, 1)
	go func() {
		c, err := shmconn.Dial("shm", path)
		if err == nil {
			err = exchange(c, "at last")
			c.Close()
		}
		result <- err
	}()
	inner, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	serveEcho(t, shmconn.NewListener(inner, nil))
	if err := <-result; err != nil {
		t.Errorf("after room was made: %v", err)
	}
}

// TestSocketMode creates socket files under several umasks.
func TestSocketMode(t *testing.T) {
	noLeaks(t)
	for _, test := range []struct {
		mode, want fs.FileMode
		umask      int
	}{
		{0, 0o600, 0},
		{0, 0o600, 0o022},
		{0, 0o600, 0o777},
		{0o660, 0o660, 0},
		{0o666, 0o666, 0o077},
		{0o640, 0o640, 0o777},
	} {
		path := socketPath(t)
		lc := shmconn.ListenConfig{Mode: test.mode}
		old := unix.Umask(test.umask)
		l, err := lc.Listen(context.Background(), "unix", path)
		unix.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != test.want {
			t.Errorf("mode %v under umask %#o is %v, want %v", test.mode, test.umask, got, test.want)
		}
		l.Close()
	}
}

// TestNoModeWindow looks at the socket file all the time while it is created,
// under umask 0, with wider permissions added afterwards in other rounds: it
// is never there with more than the wanted ones.
func TestNoModeWindow(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	defer unix.Umask(unix.Umask(0))
	path := socketPath(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		var st unix.Stat_t
		for {
			select {
			case <-stop:
				return
			default:
			}
			if unix.Lstat(path, &st) == nil {
				if mode := st.Mode & 0o777; mode != 0o600 {
					t.Errorf("socket file is there with mode %#o", mode)
					return
				}
			}
		}
	})
	for range 300 {
		l, err := shmconn.Listen("shm", path)
		if err != nil {
			t.Error(err)
			break
		}
		l.Close()
	}
	close(stop)
	wg.Wait()
}

// TestSocketFileRemoved checks that Close removes the file that Listen has
// made, from whatever working directory, and is an error the second time.
func TestSocketFileRemoved(t *testing.T) {
	noLeaks(t)
	path := socketPath(t)
	t.Chdir(filepath.Dir(path))
	l, err := shmconn.Listen("unix", filepath.Base(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir("/")
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("socket file: %v", err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
}

// TestSuccessorKept checks that Close leaves alone whatever has taken the
// place of its socket file, also the second time.
func TestSuccessorKept(t *testing.T) {
	noLeaks(t)
	for name, replace := range map[string]func(path string) error{
		"socket": func(path string) error {
			l, err := shmconn.Listen("unix", path)
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		},
		"file":    func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"symlink": func(path string) error { return os.Symlink(path+".old", path) },
	} {
		t.Run(name, func(t *testing.T) {
			l, path := listen(t, "unix", shmconn.ListenConfig{})
			// Kept under another name, so that a symlink leads to the very file.
			if err := os.Rename(path, path+".old"); err != nil {
				t.Fatal(err)
			}
			if err := replace(path); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				l.Close()
				if _, err := os.Lstat(path); err != nil {
					t.Errorf("successor: %v", err)
				}
			}
		})
	}
}

// TestFailedListenRemovesNothing has a Listen fail after its file is there.
func TestFailedListenRemovesNothing(t *testing.T) {
	noLeaks(t)
	l, path := listen(t, "unix", shmconn.ListenConfig{})
	if _, err := shmconn.Listen("unix", path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("second Listen: %v", err)
	}
	serveEcho(t, l)
	if err := exchange(dial(t, "shm", path), "still here"); err != nil {
		t.Error(err)
	}
}

// TestControl checks that the functions of the inner configuration are called.
func TestControl(t *testing.T) {
	noLeaks(t)
	errControl := errors.New("not today")
	path := socketPath(t)
	lc := shmconn.ListenConfig{NetListenConfig: net.ListenConfig{
		Control: func(network, address string, _ syscall.RawConn) error {
			if network != "unix" || address != path {
				t.Errorf("Control gets %q, %q", network, address)
			}
			return errControl
		},
	}}
	if _, err := lc.Listen(context.Background(), "shm", path); !errors.Is(err, errControl) {
		t.Errorf("Listen: %v", err)
	}
	d := shmconn.Dialer{NetDialer: net.Dialer{
		Control: func(string, string, syscall.RawConn) error { return errControl },
	}}
	_, path = listen(t, "shm", shmconn.ListenConfig{})
	if _, err := d.Dial("shm", path); !errors.Is(err, errControl) {
		t.Errorf("Dial: %v", err)
	}
}

// TestAbstractAddress needs no file.
func TestAbstractAddress(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	for _, name := range []string{"@" + socketPath(t), ""} {
		l, err := shmconn.Listen("shm", name)
		if err != nil {
			t.Fatal(err)
		}
		serveEcho(t, l)
		if name != "" && l.Addr().String() != name {
			t.Errorf("address is %v, want %s", l.Addr(), name)
		}
		if err := exchange(shared(t, dial(t, "shm", l.Addr().String())), "abstract"); err != nil {
			t.Error(err)
		}
	}
}
