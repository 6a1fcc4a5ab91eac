package listener_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/shmconn/shmconn/listener"
)

// TestDescriptorLimit runs into the real limit, in a child process, which
// may lower its own.
func TestDescriptorLimit(t *testing.T) {
	if os.Getenv("LISTENER_TEST_EMFILE") != "" {
		descriptorLimit(t)
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestDescriptorLimit$", "-test.v")
	cmd.Env = append(os.Environ(), "LISTENER_TEST_EMFILE=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
}

func descriptorLimit(t *testing.T) {
	l := newListener(t, plain, listener.Config{})
	// The client's end takes the last descriptor that there is.
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	probe, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	var next int
	rc, err := probe.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	rc.Control(func(fd uintptr) { next = int(fd) })
	probe.Close()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(next + 1), Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("unix", l.Addr().String())
	// accept(2) takes a descriptor even to find that nobody is waiting, so that
	// for a moment the listener may hold the last one.
	for errors.Is(err, syscall.EMFILE) {
		runtime.Gosched()
		c, err = net.Dial("unix", l.Addr().String())
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 5 {
		_, err := l.Accept()
		if te, ok := err.(temporary); !ok || !te.Temporary() || !errors.Is(err, syscall.EMFILE) {
			t.Fatalf("Accept: %#v, want a temporary EMFILE", err)
		}
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	// One error can have been waiting since before there was room again.
	s, err := l.Accept()
	if errors.Is(err, syscall.EMFILE) {
		s, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}
