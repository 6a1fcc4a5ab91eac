package ring

import (
	"bytes"
	"testing"
	"time"
)

// The way that takes less time is found and kept, and found again after the
// two have changed places.
func TestBypassFollowsTime(t *testing.T) {
	var b bypass
	near, far := 400*time.Microsecond, 5*time.Millisecond
	ordinary, around := near, 2*near
	round := func() (on bool) {
		on = b.on != b.trial
		if on {
			b.finish(around)
		} else {
			b.finish(ordinary)
		}
		return on
	}
	settle := func(want bool) {
		t.Helper()
		trials := 0
		for range 4 * maxEvery {
			round()
		}
		for range 10 * maxEvery {
			if round() != want {
				trials++
			}
		}
		if b.on != want || trials == 0 || trials > 20 {
			t.Errorf("past the caches: %v, want %v; %d trials of the other way", b.on, want, trials)
		}
	}
	settle(false)
	ordinary, around = far, near
	settle(true)
	ordinary, around = near, 2*near
	settle(false)
}

// Rounds of other traffic, which wait for somebody, decide nothing.
func TestBypassIgnoresPauses(t *testing.T) {
	var b bypass
	for range 10 * maxEvery {
		b.finish(roundLimit + 1)
		if b.on || b.trial {
			t.Fatal("decided by a round with pauses in it")
		}
	}
}

// Bytes that went past the caches are the right ones, at any offset.
func TestBypassBytes(t *testing.T) {
	e := newEnds(t, 64<<10, 0)
	e.p.bypass.on = true
	var index uint64
	for size := bulkSize; size <= 64<<10; size += 1009 {
		b := stream(make([]byte, size), index)
		want := bytes.Clone(b)
		e.write(t, b)
		e.read(t, want)
		index += uint64(size)
	}
}
