package shmconn

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A napBell calls asleep, with a count, when a reader has announced its sleep, or
// it is too late for that.
type napBell struct {
	bell
	deaf   bool // hears no ring
	sleeps int
	naps   int // limits that sleeps had
	asleep func(n int)
}

func (b *napBell) SetReadDeadline(at time.Time) error {
	if !at.IsZero() {
		b.naps++
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
		b.asleep(b.sleeps)
	}
	return err
}

// crowdReader returns a connection whose reader, in a crowd, has the given number
// of naps saved. Whether its bell is deaf or not, asleep is called as napBell says.
func crowdReader(t *testing.T, saved int64, deaf bool, asleep func(c, peer *Conn, n int)) (c *Conn, b *napBell) {
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
	b = &napBell{bell: c.bell, deaf: deaf, asleep: func(n int) { asleep(c, far.(*Conn), n) }}
	c.bell = b
	quietCPUs()
	t.Cleanup(quietCPUs)
	crowd(c)
	cpus.naps.Store(saved)
	cpus.waits.Store(napsTried) // the next wait is not one that tries
	return c, b
}

// crowd has the next wait of c be one in a crowd that does not yield.
func crowd(c *Conn) { c.in.wait.crowd, c.in.wait.skips = 1, 1 }

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
	for _, when := range []int{1, naps()} {
		const saved = 100
		c, b := crowdReader(t, saved, true, func(_, peer *Conn, n int) {
			if n == when {
				write(t, peer)
			}
		})
		if err := read(t, c); err != nil {
			t.Error(err)
		}
		if b.sleeps != when {
			t.Errorf("%d sleeps, want %d", b.sleeps, when)
		}
		if got, want := cpus.naps.Load(), int64(saved-when+1+napEarns); got != want {
			t.Errorf("%d naps saved, want %d", got, want)
		}
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
		b.sleeps, b.naps, when = 0, 0, want+1
		if err := read(t, c); err != nil {
			t.Error(err)
		}
		if b.sleeps != want+1 || b.naps != want {
			t.Errorf("%d sleeps, %d of them naps, want %d and %d", b.sleeps, b.naps, want+1, want)
		}
		if saved := cpus.naps.Load(); saved != 0 {
			t.Errorf("%d naps saved, want none", saved)
		}
		crowd(c)
	}
	wait(naps())
	wait(0)
	cpus.waits.Store(2*napsTried - 1)
	wait(naps())
	// Nor has a wait on its own any.
	c.in.wait.crowd = 0
	cpus.waits.Store(3*napsTried - 1)
	c.in.wait.waits = 3*napsTried - 1
	wait(0)
}

// A deadline ends a nap, and naps end no deadline.
func TestNapDeadline(t *testing.T) {
	c, _ := crowdReader(t, maxNaps, true, func(*Conn, *Conn, int) {})
	for _, d := range []time.Duration{time.Millisecond, 30 * time.Millisecond} {
		start := time.Now()
		c.SetReadDeadline(start.Add(d))
		if err := read(t, c); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("deadline of %v: %v", d, err)
		}
		if took := time.Since(start); took < d {
			t.Errorf("deadline of %v: %v", d, took)
		}
		crowd(c)
	}
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
		c, _ := crowdReader(t, maxNaps, true, func(c, peer *Conn, n int) {
			if n == 1 {
				test.do(c, peer)
			}
		})
		if err := read(t, c); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}
