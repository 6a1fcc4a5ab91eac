package shmconn_test

import (
	"errors"
	"math"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/shmconn"
)

// TestFarDeadline sets deadlines that lie beyond what counts nanoseconds.
func TestFarDeadline(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	l, path := listen(t, "shm", shmconn.ListenConfig{})
	serveEcho(t, l)
	c := dial(t, "shm", path)
	defer c.Close()
	for _, at := range []time.Time{
		time.Now().Add(math.MaxInt64),
		time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
	} {
		if err := c.SetDeadline(at); err != nil {
			t.Fatal(err)
		}
		if err := ping(c, make([]byte, 8)); err != nil {
			t.Errorf("deadline %v: %v", at, err)
		}
	}
}

// TestWriteToFullPipe has WriteTo wait for a pipe that nobody reads, which other
// calls of Read do not wait for.
func TestWriteToFullPipe(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	c, s := pair(t, 4096)
	defer c.Close()
	defer s.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	raw, err := w.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Write(func(fd uintptr) bool {
		var err error
		for err == nil {
			_, err = unix.Write(int(fd), make([]byte, 1<<16))
		}
		return true
	})
	if _, err := s.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	copied := make(chan error, 1)
	go func() {
		_, err := c.WriteTo(w)
		copied <- err
	}()
	eventually(t, "WriteTo waits for the pipe", func() bool {
		stacks := make([]byte, 1<<20)
		for g := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			if strings.Contains(g, "(*Conn).WriteTo(") && strings.Contains(g, "poll.(*FD).Write(") && strings.Contains(g, "[IO wait") {
				return true
			}
		}
		return false
	})
	c.SetReadDeadline(time.Now())
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read meanwhile: %v, want the deadline", err)
	}
	r.Close()
	if err := <-copied; !errors.Is(err, syscall.EPIPE) {
		t.Errorf("WriteTo: %v, want the pipe's EPIPE", err)
	}
}
