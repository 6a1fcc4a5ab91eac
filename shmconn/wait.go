package shmconn

import (
	"os"
	"sync/atomic"
	"time"

	"github.com/shmconn/shmconn/internal/pause"
)

// A sleeper is a direction's waiter together with its counters. It is used by
// whoever holds the direction, but for the counters, which anybody may read.
type sleeper struct {
	wait  waiter
	total uint64 // bytes carried, once the memory is unmapped; guarded by Conn.life

	parks         atomic.Uint64
	wakesSent     atomic.Uint64
	wakesReceived atomic.Uint64
	fullWaits     atomic.Uint64
}

// sleep takes note that the waiter, before or after a sleep, goes to sleep, or
// does not, and returns whether it need not.
func (s *sleeper) sleep(asleep bool) (ready bool) {
	if s.wait.asleep {
		s.wakesReceived.Add(1)
	}
	if asleep {
		s.parks.Add(1)
	}
	s.wait.asleep = asleep
	return !asleep
}

// parkReader returns when there may be something to read or an end to report.
// The error is os.ErrDeadlineExceeded. c.in.mu is held.
func (c *Conn) parkReader(spin bool) error {
	if spin && c.in.wait.spin(c.dataPending) {
		return nil
	}
	var err error
	if spin && c.in.wait.crowded {
		err = c.doze()
	} else {
		err = c.sleepReader()
	}
	if err == os.ErrDeadlineExceeded && c.status.Load()&endsReading == 0 {
		return err
	}
	return nil
}

// sleepReader sleeps until the bell rings or its deadline, unless there is
// something to do. c.in.mu is held.
func (c *Conn) sleepReader() error {
	c.in.wait.asleep = false
	return c.bell.WaitRead(c.in.wait.ready)
}

// parkWriter returns when there may be space or an end to report. The error is
// os.ErrDeadlineExceeded. c.out.mu is held.
func (c *Conn) parkWriter() error {
	c.out.fullWaits.Add(1)
	if c.out.wait.spin(c.spacePending) {
		return nil
	}
	c.out.wait.asleep = false
	err := c.bell.WaitWrite(c.out.wait.ready)
	if err == os.ErrDeadlineExceeded && c.status.Load()&endsWriting == 0 {
		return err
	}
	return nil
}

// announceReader is steps 1 and 2 of a sleeping consumer.
func (c *Conn) announceReader(uintptr) bool {
	c.in.ring.Announce()
	return c.in.sleep(!c.dataPending())
}

// announceWriter is steps 1 and 2 of a sleeping producer. It asks for half of
// the ring, so that a full ring costs one wake-up and not one for each byte.
func (c *Conn) announceWriter(uintptr) bool {
	half := c.out.ring.Capacity() / 2
	c.out.ring.Announce(half)
	free, err := c.out.ring.Writable(half)
	return c.out.sleep(free < half && err == nil && c.status.Load()&endsWriting == 0)
}

// dataPending reports whether a reader has something to do.
func (c *Conn) dataPending() bool {
	if c.status.Load()&endsReading != 0 {
		return true
	}
	n, err := c.in.ring.Readable()
	return n > 0 || err != nil
}

// spacePending reports whether a writer has something to do.
func (c *Conn) spacePending() bool {
	if c.status.Load()&endsWriting != 0 {
		return true
	}
	free, err := c.out.ring.Writable(1)
	return free > 0 || err != nil
}

// A streak is a run of small reads without a write of ours in between.
type streak struct {
	reads   int
	written uint64 // how much we had written then
}

const (
	streamReads = 16       // reads that make a stream
	streamRead  = 32 << 10 // bytes; larger reads are no trouble

	// gatherTime is how long a stream's reader lets messages accumulate. Of
	// 0.5, 1.5 and 5 us, messages of 1 KiB take 270, 240 and 230 ns, those of
	// 64 B 70, 50 and 45.
	gatherTime   = 1500 * time.Nanosecond
	gatherPauses = 16 // processor pauses between two looks at the clock
)

// gather lets small messages of a stream accumulate before the next look at the
// peer's index. Each look fetches a cache line from the producer's CPU, which
// then has to fetch it back before it can publish again, and so it is with the
// bytes next to those that are read. A reader that is always right behind the
// producer slows both down (messages of 64 B: 200 ns each, gathered 50 ns; of
// 1 KiB: 400 and 240).
//
// In a streak nobody is likely to wait for our answer. If somebody does, as when
// one request is read in many small parts, each look from the 17th on costs it
// gatherTime. What an earlier look has found is read without delay, and whoever
// wants no spinning does not gather.
func (c *Conn) gather() {
	if c.in.streak.reads < streamReads || c.in.ring.Seen() > 0 || c.in.wait.budget < 0 {
		return
	}
	for start := now(); now()-start < int64(gatherTime); {
		pause.Spin(gatherPauses)
	}
}

// noteRead takes note of a read of n bytes.
func (c *Conn) noteRead(n int) {
	s := &c.in.streak
	if written := c.out.ring.Produced(); written != s.written || n >= streamRead {
		s.written, s.reads = written, 0
	} else if s.reads < streamReads {
		s.reads++
	}
}
