package shmconn

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/shmconn/shmconn/internal/wire"
)

// TestReadFrameOther: the first bytes of another protocol are known for what
// they are without waiting for as many as a frame has.
func TestReadFrameOther(t *testing.T) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix"}) // autobind
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	const other = "220 "
	if _, err := far.Write([]byte(other)); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]readFunc{"tryRead": tryRead, "tryReadBare": tryReadBare} {
		near.SetDeadline(time.Now().Add(10 * time.Second))
		if got, err := readFrame(near, read); string(got) != other || !errors.Is(err, wire.ErrNotFrame) {
			t.Errorf("%s: %q, %v; want %q, %v", name, got, err, other, wire.ErrNotFrame)
		}
		far.Write([]byte(other))
	}
}

// TestWithDeadline: the deadline is the earlier one, is made to pass by the end
// of the context, and never stays on.
func TestWithDeadline(t *testing.T) {
	soon, late := time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	background := context.Background()
	timed, stop := context.WithDeadline(background, soon)
	defer stop()
	for _, test := range []struct {
		name string
		ctx  context.Context
		t    time.Time
		want time.Time
	}{
		{"none", background, time.Time{}, time.Time{}},
		{"its own", background, late, late},
		{"the context's", timed, time.Time{}, soon},
		{"the context's, earlier", timed, late, soon},
	} {
		var sets []time.Time
		failure := errors.New("f's")
		err := withDeadline(test.ctx, func(at time.Time) error { sets = append(sets, at); return nil }, test.t, func() error { return failure })
		if err != failure || !slices.Equal(sets, []time.Time{test.want, {}}) {
			t.Errorf("%s: deadlines %v, %v; want %v and none, %v", test.name, sets, err, test.want, failure)
		}
	}

	ctx, cancel := context.WithCancel(background)
	passed := make(chan struct{})
	var last time.Time
	err := withDeadline(ctx, func(at time.Time) error {
		if last = at; at.Equal(longAgo) {
			close(passed)
		}
		return nil
	}, late, func() error {
		cancel()
		select {
		case <-passed:
			return os.ErrDeadlineExceeded
		case <-time.After(10 * time.Second):
			return errors.New("the end of the context interrupts nothing")
		}
	})
	if !errors.Is(err, context.Canceled) || !last.IsZero() {
		t.Errorf("%v, then deadline %v; want %v, then none", err, last, context.Canceled)
	}
}
