package conformance

import (
	"errors"
	"io"
	"syscall"
	"testing"
	"time"
)

// doomed returns a connection to a child of its own, which the test may kill.
func (s *suite) doomed(t *testing.T) (near duplex, far peer, ch *child) {
	t.Helper()
	ch, err := newChild(s.transport, s.childDials)
	if err != nil {
		t.Fatalf("start the child process: %v", err)
	}
	s.track(ch.close)
	near, far, stop, err := ch.connect()
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	s.track(stop)
	return near, far, ch
}

// isCrash reports whether err is how the transport tells of a crash.
func (s *suite) isCrash(err error) bool {
	if s.transport.ResetOnCrash {
		return errors.Is(err, syscall.ECONNRESET)
	}
	return err == io.EOF
}

// wantCrash checks what a Read says of a peer that has crashed, the data being read.
func (s *suite) wantCrash(t *testing.T, err error) {
	t.Helper()
	if s.transport.ResetOnCrash {
		wantErrno(t, err, "read", syscall.ECONNRESET)
	} else if err != io.EOF {
		t.Fatalf("Read: %v (%T), want io.EOF", err, err)
	}
}

// wantGone checks both directions of a connection whose peer has crashed.
func (s *suite) wantGone(t *testing.T, near duplex) {
	t.Helper()
	n, err := near.Read(make([]byte, 16))
	s.wantCrash(t, err)
	if n != 0 {
		t.Errorf("Read = %d, want 0", n)
	}
	_, err = near.Write([]byte("x"))
	wantErrno(t, err, "write", syscall.EPIPE)
	if n, err := near.Read(make([]byte, 16)); n != 0 || err == nil {
		t.Errorf("second Read = %d, %v, want an error", n, err)
	}
	must(t, "Close", near.Close())
}

// testExitAfterClose: the data outlives the process; the end is in order.
func testExitAfterClose(t *testing.T, s *suite) {
	near, far, ch := s.doomed(t)
	n, err := far.do(task{Op: "send and close", N: 2000, Seed: 1})
	wantCount(t, "send", n, err, 2000)
	ch.exit()
	n, err = receive(near, -1, 1)
	wantCount(t, "receive", n, err, 2000)
	wantEOF(t, near)
	_, err = near.Write([]byte("x"))
	wantErrno(t, err, "write", syscall.EPIPE)
}

// testExitWithoutClose: the data outlives the process; then comes the crash. Killed or exited is
// the same.
func testExitWithoutClose(t *testing.T, s *suite) {
	for _, end := range []func(*child){(*child).exit, (*child).kill} {
		near, far, ch := s.doomed(t)
		n, err := far.do(task{Op: "send", N: 2000, Seed: 1})
		wantCount(t, "send", n, err, 2000)
		end(ch)
		n, err = receive(near, 2000, 1)
		wantCount(t, "receive", n, err, 2000)
		s.wantGone(t, near)
	}
}

// testExitAfterCloseWrite: a stream that has ended in order is not a crash later.
func testExitAfterCloseWrite(t *testing.T, s *suite) {
	near, far, ch := s.doomed(t)
	n, err := far.do(task{Op: "send", N: 2000, Seed: 1})
	wantCount(t, "send", n, err, 2000)
	must(t, "CloseWrite", far.CloseWrite())
	ch.kill()
	n, err = receive(near, -1, 1)
	wantCount(t, "receive", n, err, 2000)
	wantEOF(t, near)
}

// testKillWakesReader: readers that sleep learn of the crash.
func testKillWakesReader(t *testing.T, s *suite) {
	near, far, ch := s.doomed(t)
	roundTrip(t, near, far)
	r := startRead(near)
	parked(t, 1)
	ch.kill()
	n, err := r.wait(t)
	s.wantCrash(t, err)
	if n != 0 {
		t.Errorf("Read = %d, want 0", n)
	}
	_, err = near.Write([]byte("x"))
	wantErrno(t, err, "write", syscall.EPIPE)
}

// testKillWakesWriter: writers that sleep learn of the crash.
func testKillWakesWriter(t *testing.T, s *suite) {
	near, _, ch := s.doomed(t)
	w := start(func() (int, error) { return near.Write(big()) })
	parked(t, 1)
	ch.kill()
	n, err := w.wait(t)
	wantErrno(t, err, "write", syscall.EPIPE)
	if n <= 0 || n >= int64(len(big())) {
		t.Errorf("Write = %d, want part of %d", n, len(big()))
	}
	_, err = near.Write([]byte("x"))
	wantErrno(t, err, "write", syscall.EPIPE)
}

// testKillDuringTransfer: what arrives of a stream that a crash cuts off is an intact beginning.
func testKillDuringTransfer(t *testing.T, s *suite) {
	rounds := 5
	if brief() {
		rounds = 2
	}
	for i := range rounds {
		near, far, ch := s.doomed(t)
		go far.do(task{Op: "send", N: -1, Seed: uint64(i)})
		n, err := receive(near, 1+int64(i)*777_777, uint64(i)) // the kill meets the sender at work
		must(t, "receive", err)
		rest := start(func() (int64, error) {
			// The comparison begins anew, so n is made up to whole periods first.
			if _, err := io.CopyN(io.Discard, near, (period-n%period)%period); err != nil {
				return 0, err
			}
			return receive(near, 1<<50, uint64(i))
		})
		time.AfterFunc(time.Duration(i)*time.Millisecond, func() { ch.cmd.Process.Kill() })
		_, err = rest.wait(t)
		if !s.isCrash(err) {
			t.Fatalf("after the kill: %v", err)
		}
	}
}

// testKillLeaks: crashed peers leave nothing behind.
func testKillLeaks(t *testing.T, s *suite) {
	cycle := func() {
		near, far, ch := s.doomed(t)
		roundTrip(t, near, far)
		r := startRead(near)
		ch.kill()
		r.wait(t)
		must(t, "Close", near.Close())
		s.stopAll()
	}
	cycle()
	base := s.baseline(t, nil)
	rounds := 5
	if brief() {
		rounds = 2
	}
	for range rounds {
		cycle()
	}
	s.settle(t, nil, base, 10*rounds)
}
