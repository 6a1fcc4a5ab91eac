package shmconn

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A napBell calls asleep, with a count, when a reader has announced its sleep, or
// when it was too late for that.
type napBell struct {
	bell
	wait    *waiter
	deaf    bool // hears no ring
	sleeps  int
	missed  int          // sleeps that it was too late for
	limited atomic.Int64 // how often a sleep was limited
	asleep  func(n int)
}

func (b *napBell) SetReadDeadline(at time.Time) error {
	if !at.IsZero() {
		b.limited.Add(1)
	}
	if deadline := b.wait.deadline.time(); deadline.After(time.Now()) && (at.IsZero() || at.After(deadline)) {
		panic("a sleep is to outlast the deadline")
	}
	return b.bell.SetReadDeadline(at)
}

func (b *napBell) WaitRead(ready func(uintptr) bool) error {
	b.sleeps++
	awake := true
	err := b.bell.WaitRead(func(fd uintptr) bool {
		switch {
		case awake && !ready(fd):
			awake = false
			b.asleep(b.sleeps)
			return false
		case awake:
			return true
		}
		return !b.deaf && ready(fd)
	})
	if err == os.ErrDeadlineExceeded && awake {
		b.missed++
		b.asleep(b.sleeps)
	}
	return err
}

// crowdReader returns a connection whose reader, in a crowd, has the given number
// of naps saved. Whether its bell is deaf or not, asleep is called as napBell says.
func crowdReader(t *testing.T, saved int, deaf bool, asleep func(c, peer *Conn, n int)) (c *Conn, b *napBell) {
	t.Helper()
	l, err := Listen("shm", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	near, err := Dial("shm", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	c = near.(*Conn)
	b = &napBell{bell: c.bell, wait: &c.in.wait, deaf: deaf, asleep: func(n int) { asleep(c, far.(*Conn), n) }}
	c.bell = b
	quietCPUs()
	t.Cleanup(quietCPUs)
	cpus.savedNaps.Store(int64(saved))
	cpus.waits.Store(napEvery) // the next wait is not one that tries
	crowd(c)
	return c, b
}

// crowd has the next wait of c be one in a crowd that does not yield.
func crowd(c *Conn) {
	w := &c.in.wait
	w.waits, w.crowd, w.skips = cpus.waits.Load(), 1, 1
}

// read reads one byte of two at most.
func read(t *testing.T, c *Conn) error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		n, err := c.Read(make([]byte, 2))
		if err == nil && n != 1 {
			err = errors.New("read another number of bytes")
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("read does not return")
		return nil
	}
}

func write(t *testing.T, c *Conn) {
	t.Helper()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Error(err)
	}
}

// naps is how many a reader has of a wait.
func naps() (n int) {
	for d := minNap; d <= maxNap; d *= 2 {
		n++
	}
	return n
}

// A reader in a crowd need not hear its bell.
func TestNapLateBell(t *testing.T) {
	for _, test := range []struct{ when, saved, want int }{
		{1, 100, 100 + napEarns},
		{naps(), 100, 100 - naps() + 1 + napEarns},
		{1, maxSavedNaps - 1, maxSavedNaps},
	} {
		often(t, func() bool {
			c, b := crowdReader(t, test.saved, true, func(_, peer *Conn, n int) {
				if n == test.when {
					write(t, peer)
				}
			})
			if err := read(t, c); err != nil {
				t.Error(err)
			}
			if b.sleeps != test.when {
				t.Errorf("%d sleeps, want %d", b.sleeps, test.when)
			}
			if got := int(cpus.savedNaps.Load()); b.missed == 0 && got != test.want {
				t.Errorf("%d naps saved, want %d", got, test.want)
			}
			return b.missed == 0
		})
	}
}

// After its naps a reader sleeps for as long as it takes, and it has none in a
// later wait, but for a few to try whether they are worth it.
func TestNapsInVain(t *testing.T) {
	when := 0
	c, b := crowdReader(t, 1, false, func(_, peer *Conn, n int) {
		if n == when {
			write(t, peer)
		}
	})
	wait := func(want int) {
		t.Helper()
		b.sleeps, when = 0, want+1
		b.limited.Store(0)
		wakes := c.Stats().WakesReceived
		if err := read(t, c); err != nil {
			t.Error(err)
		}
		if got := int(b.limited.Load()); b.sleeps != want+1 || got != want {
			t.Errorf("%d sleeps, %d of them naps, want %d and %d", b.sleeps, got, want+1, want)
		}
		if got := c.Stats().WakesReceived - wakes; got > 1 {
			t.Errorf("woken %d times, want once", got)
		}
		if saved := cpus.savedNaps.Load(); saved != 0 {
			t.Errorf("%d naps saved, want none", saved)
		}
		crowd(c)
	}
	wait(naps())
	wait(0)
	cpus.waits.Store(2*napEvery - 1)
	wait(naps())
	// Nor has a wait on its own any.
	c.in.wait.crowd = 0
	cpus.waits.Store(3*napEvery - 1)
	c.in.wait.waits = 3*napEvery - 1
	wait(0)
}

// A deadline ends a nap, and naps end no deadline.
func TestNapDeadline(t *testing.T) {
	c, b := crowdReader(t, maxSavedNaps, true, func(*Conn, *Conn, int) {})
	wait := func(d time.Duration) {
		t.Helper()
		crowd(c)
		b.sleeps = 0
		start := time.Now()
		c.SetReadDeadline(start.Add(d))
		if err := read(t, c); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("deadline of %v: %v", d, err)
		}
		if took := time.Since(start); took < d {
			t.Errorf("deadline of %v: %v", d, took)
		}
	}
	wait(30 * time.Millisecond)
	often(t, func() bool {
		cpus.savedNaps.Store(maxSavedNaps)
		wait(maxNap * 3 / 8) // in the middle of a nap
		// All, if the bell's timer is ahead of the clock; none, if this was too slow.
		return b.sleeps > 0 && b.sleeps < naps()
	})
}

// Whatever happens during a nap is what it is during a sleep.
func TestNapInterrupted(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(c, peer *Conn)
		want error
	}{
		"deadline":         {func(c, _ *Conn) { c.SetReadDeadline(time.Now()) }, os.ErrDeadlineExceeded},
		"Close":            {func(c, _ *Conn) { go c.Close() }, net.ErrClosed},
		"CloseRead":        {func(c, _ *Conn) { c.CloseRead() }, io.EOF},
		"peer's Close":     {func(_, peer *Conn) { peer.Close() }, io.EOF},
		"peer has crashed": {func(c, _ *Conn) { c.interrupt(stHungUp) }, syscall.ECONNRESET},
	} {
		const saved = 100
		c, _ := crowdReader(t, saved, true, func(c, peer *Conn, n int) {
			if n == 1 {
				if limited := c.bell.(*napBell).limited.Load(); limited != 1 {
					t.Errorf("%s: %d limits before the first sleep, want 1", name, limited)
				}
				test.do(c, peer)
			}
		})
		if err := read(t, c); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		// The bell is late for what the peer does.
		if got := cpus.savedNaps.Load(); got > saved && name != "peer's Close" {
			t.Errorf("%s: %d naps saved, want no more than %d", name, got, saved)
		}
	}
}
