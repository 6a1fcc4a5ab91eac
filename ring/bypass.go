package ring

import (
	"time"

	"github.com/shmconn/shmconn/internal/bulk"
)

// bypass decides whether a bulk stream goes past the caches. Which is faster
// depends on how far apart the two ends run (package bulk has figures), which
// no program can know and which changes whenever a scheduler moves one of them,
// so both ways are timed: the better one is used, the other tried now and then.
type bypass struct {
	on    bool
	trial bool // the current round tries the other way

	bytes uint64    // copied in this round
	start time.Time // of its measured part

	best   time.Duration // for a round the way in use
	rounds int           // since the last trial
	every  int           // rounds between trials
}

const (
	// bulkSize is the smallest copy that is worth it.
	bulkSize = 16 << 10

	// A round is long enough for a ring of the default size to go around
	// several times. The beginning, while the other way's lines are still in it,
	// does not count.
	roundStart = 4 << 20
	roundEnd   = 16 << 20

	// roundLimit tells a stream from other traffic, whose time says nothing.
	roundLimit = 20 * time.Millisecond

	minEvery = 4 // rounds
	maxEvery = 64
)

// copy is bulk.Copy, or bulk.CopyPast where that has proved faster.
func (b *bypass) copy(dst, src []byte) int {
	if !bulk.Supported || len(src) < bulkSize {
		return bulk.Copy(dst, src)
	}
	before := b.bytes
	b.bytes += uint64(len(src))
	switch {
	case before < roundStart && b.bytes >= roundStart:
		b.start = time.Now()
	case b.bytes >= roundEnd:
		b.finish(time.Since(b.start))
		b.bytes = 0
	}
	if b.on != b.trial {
		return bulk.CopyPast(dst, src)
	}
	return bulk.Copy(dst, src)
}

// finish draws the conclusion from a round that took d.
func (b *bypass) finish(d time.Duration) {
	if d > roundLimit {
		b.trial, b.rounds, b.best = false, 0, 0
		return
	}
	if b.trial {
		b.trial = false
		if d < b.best*7/8 {
			b.on = !b.on
			b.best, b.every = d, minEvery
		} else {
			b.every = min(max(2*b.every, minEvery), maxEvery)
		}
		return
	}
	switch {
	case b.best == 0: // the first round
		b.every = 1
	case d > b.best*3/2: // the ends have moved apart
		b.every = minEvery
	}
	b.best = d
	if b.rounds++; b.rounds >= b.every {
		b.trial, b.rounds = true, 0
	}
}
