package conformance

import (
	"testing"
	"time"
)

const (
	short = 10 * time.Millisecond
	never = time.Hour
)

func after(d time.Duration) time.Time { return time.Now().Add(d) }

// testReadDeadline: a Read that is overdue fails, again and again, and then works as before.
func testReadDeadline(t *testing.T, s *suite) {
	near, far := s.pair(t)
	begin := time.Now()
	must(t, "SetReadDeadline", near.SetReadDeadline(begin.Add(short)))
	for range 3 {
		n, err := near.Read(make([]byte, 16))
		wantTimeout(t, err, "read")
		if n != 0 {
			t.Errorf("Read = %d, want 0", n)
		}
	}
	if d := time.Since(begin); d < short {
		t.Errorf("timed out after %v, want %v at least", d, short)
	}
	put(t, near, "unaffected")
	get(t, far, "unaffected")
	must(t, "SetReadDeadline", near.SetReadDeadline(time.Time{}))
	roundTrip(t, near, far)
}

// testWriteDeadline: a Write that is overdue fails with the count of what was written; exactly that
// much arrives.
func testWriteDeadline(t *testing.T, s *suite) {
	near, far := s.pair(t)
	must(t, "SetWriteDeadline", near.SetWriteDeadline(after(short)))
	n, err := near.Write(big())
	wantTimeout(t, err, "write")
	if n >= len(big()) { // 0 when the machine is so slow that the deadline came first
		t.Fatalf("Write = %d, want part of %d", n, len(big()))
	}
	m, err := near.Write([]byte("x"))
	wantTimeout(t, err, "write")
	if m != 0 {
		t.Fatalf("Write = %d, want 0", m)
	}
	put(t, far, "unaffected")
	get(t, near, "unaffected")

	got, err := far.do(task{Op: "receive", N: int64(n), Seed: 1})
	wantCount(t, "receive", got, err, int64(n))
	must(t, "SetWriteDeadline", near.SetWriteDeadline(time.Time{}))
	roundTrip(t, near, far)
}

// testReadDeadlineMoved: a Read under way heeds a deadline that is set meanwhile.
func testReadDeadlineMoved(t *testing.T, s *suite) {
	testDeadlineMoved(t, s, "read", duplex.SetReadDeadline,
		func(c duplex) *call { return startRead(c) },
		func(t *testing.T, far peer) { put(t, far, "x") })
}

// testWriteDeadlineMoved: a Write under way heeds a deadline that is set meanwhile.
func testWriteDeadlineMoved(t *testing.T, s *suite) {
	testDeadlineMoved(t, s, "write", duplex.SetWriteDeadline,
		func(c duplex) *call { return start(func() (int, error) { return c.Write(big()) }) },
		func(t *testing.T, far peer) {
			n, err := far.do(task{Op: "receive", N: int64(len(big())), Seed: 1})
			wantCount(t, "receive", n, err, int64(len(big())))
		})
}

func testDeadlineMoved(t *testing.T, s *suite, op string, set func(duplex, time.Time) error, begin func(duplex) *call, release func(*testing.T, peer)) {
	t.Run("Earlier", func(t *testing.T) {
		for _, from := range []time.Time{{}, after(never)} {
			for _, to := range []time.Time{past, after(0), after(short)} {
				near, _ := s.pair(t)
				must(t, "set", set(near, from))
				c := begin(near)
				parked(t, 1)
				must(t, "set", set(near, to))
				_, err := c.wait(t)
				wantTimeout(t, err, op)
			}
		}
	})
	t.Run("Both", func(t *testing.T) { // by SetDeadline
		near, _ := s.pair(t)
		c := begin(near)
		parked(t, 1)
		must(t, "SetDeadline", near.SetDeadline(after(short)))
		_, err := c.wait(t)
		wantTimeout(t, err, op)
	})
	t.Run("Later", func(t *testing.T) { testDeadlineWithdrawn(t, s, set, begin, release, after(never)) })
	t.Run("Cleared", func(t *testing.T) { testDeadlineWithdrawn(t, s, set, begin, release, time.Time{}) })
}

// testDeadlineWithdrawn: a call under way outlives a deadline that is replaced in time. A machine
// that takes so long that the deadline passes first is given more time in another attempt.
func testDeadlineWithdrawn(t *testing.T, s *suite, set func(duplex, time.Time) error, begin func(duplex) *call, release func(*testing.T, peer), to time.Time) {
	for d := 20 * time.Millisecond; d < patience; d *= 3 {
		near, far := s.pair(t)
		first := after(d)
		must(t, "set", set(near, first))
		c := begin(near)
		parkedOrEnded(t, c)
		must(t, "set", set(near, to))
		if !time.Now().Before(first) {
			near.Close()
			c.wait(t)
			continue
		}
		time.Sleep(time.Until(first) + short) // let it pass
		if c.ended() {
			t.Fatalf("returned %d, %v at a deadline that was withdrawn", c.n, c.err)
		}
		release(t, far)
		_, err := c.wait(t)
		must(t, "call", err)
		return
	}
	t.Fatal("the machine is too slow to set two deadlines in a row")
}

// testPastDeadline: an overdue call fails even when it need not wait.
func testPastDeadline(t *testing.T, s *suite) {
	near, far := s.pair(t)
	put(t, far, "there")
	must(t, "SetDeadline", near.SetDeadline(past))
	n, err := near.Read(make([]byte, 16))
	wantTimeout(t, err, "read")
	m, err := near.Write([]byte("x"))
	wantTimeout(t, err, "write")
	if n != 0 || m != 0 {
		t.Errorf("Read = %d, Write = %d, want 0", n, m)
	}
	must(t, "SetDeadline", near.SetDeadline(time.Time{}))
	get(t, near, "there")
	roundTrip(t, near, far)

	// Nor does it see the end of the stream.
	must(t, "Close", far.Close())
	must(t, "SetDeadline", near.SetDeadline(past))
	_, err = near.Read(make([]byte, 16))
	wantTimeout(t, err, "read")
	_, err = near.Write([]byte("x"))
	wantTimeout(t, err, "write")
	must(t, "SetDeadline", near.SetDeadline(time.Time{}))
	wantEOF(t, near)
}
