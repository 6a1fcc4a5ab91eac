package conformance

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// past is a deadline that has gone by, never one that was not reached yet.
var past = time.Unix(1, 0)

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// wantOpError checks that err is itself a *net.OpError of op and that it stands for target.
func wantOpError(t *testing.T, err error, op string, target error) {
	t.Helper()
	oe, ok := err.(*net.OpError)
	if !ok {
		t.Fatalf("got %T (%v), want a *net.OpError for %v", err, err, target)
	}
	if oe.Op != op || !errors.Is(err, target) {
		t.Fatalf("got %q (op %q), want op %q and %v", err, oe.Op, op, target)
	}
}

func wantClosed(t *testing.T, err error, op string) {
	t.Helper()
	wantOpError(t, err, op, net.ErrClosed)
	if ne := err.(net.Error); ne.Timeout() {
		t.Errorf("%v: is a timeout", err)
	}
}

func wantTimeout(t *testing.T, err error, op string) {
	t.Helper()
	wantOpError(t, err, op, os.ErrDeadlineExceeded)
	if oe := err.(*net.OpError); !oe.Timeout() || !oe.Temporary() {
		t.Errorf("%v: Timeout() = %v, Temporary() = %v, want true", err, oe.Timeout(), oe.Temporary())
	}
}

// wantErrno checks for the errors of system calls, which package net wraps in *os.SyscallError.
func wantErrno(t *testing.T, err error, op string, errno syscall.Errno) {
	t.Helper()
	wantOpError(t, err, op, errno)
	if se := (*os.SyscallError)(nil); !errors.As(err, &se) {
		t.Errorf("%v: no *os.SyscallError inside", err)
	}
}

// wantEOF checks that c is at its end: io.EOF itself, not wrapped, more than once.
func wantEOF(t *testing.T, c io.Reader) {
	t.Helper()
	for range 3 {
		if n, err := c.Read(make([]byte, 16)); n != 0 || err != io.EOF {
			t.Fatalf("Read = %d, %v (%T), want 0, io.EOF", n, err, err)
		}
	}
}

// put writes s in one call.
func put(t *testing.T, c io.Writer, s string) {
	t.Helper()
	if n, err := io.WriteString(c, s); n != len(s) || err != nil {
		t.Fatalf("Write = %d, %v, want %d, nil", n, err, len(s))
	}
}

// get reads exactly s.
func get(t *testing.T, c io.Reader, s string) {
	t.Helper()
	buf := make([]byte, len(s))
	if _, err := io.ReadFull(c, buf); err != nil {
		t.Fatalf("read: %v", err)
	}
	if string(buf) != s {
		t.Fatalf("read %q, want %q", buf, s)
	}
}

// roundTrip checks that both directions work.
func roundTrip(t *testing.T, near, far io.ReadWriter) {
	t.Helper()
	put(t, near, "there")
	get(t, far, "there")
	put(t, far, "back")
	get(t, near, "back")
}

// wantCount checks the count of a transfer that ought to succeed.
func wantCount(t *testing.T, what string, n int64, err error, want int64) {
	t.Helper()
	if n != want || err != nil {
		t.Fatalf("%s = %d, %v, want %d, nil", what, n, err, want)
	}
}
