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

	"github.com/shmconn/shmconn/internal/doorbell"
)

// A dozeBell calls asleep, with a count, when a reader has announced its sleep, or
// when it was too late for that.
type dozeBell struct {
	bell
	deaf   bool // hears no ring
	sleeps int
	asleep func(n int)
}

func (b *dozeBell) WaitRead(ready func(uintptr) bool) error {
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

// crowdReader returns a connection whose reader is in a crowd, and the peer. Its
// bell calls asleep as dozeBell says.
func crowdReader(t *testing.T, deaf bool, asleep func(c, peer *Conn, n int)) (c *Conn, b *dozeBell) {
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
	b = &dozeBell{bell: c.bell, deaf: deaf, asleep: func(n int) { asleep(c, far.(*Conn), n) }}
	c.bell = b
	quietCPUs()
	t.Cleanup(quietCPUs)
	crowd(c)
	return c, b
}

// crowd has the next wait of c be one in a crowd that does not yield.
func crowd(c *Conn) {
	w := &c.in.wait
	w.waits, w.crowd, w.skips = max(cpus.waits.Load(), 1), 1, 1
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

// A reader in a crowd need not hear its bell, as those who yield do.
func TestDozeRoused(t *testing.T) {
	c, b := crowdReader(t, true, func(_, peer *Conn, n int) {
		quietCPUs()
		switch n {
		case 1: // the first look rouses it in any case
			used().yield(func() bool { return false })
		case 2:
			write(t, peer)
			used().yield(func() bool { return false })
		}
	})
	before := c.Stats()
	if err := read(t, c); err != nil {
		t.Error(err)
	}
	if b.sleeps != 2 {
		t.Errorf("slept %d times, want twice", b.sleeps)
	}
	after := c.Stats()
	if parks, wakes := after.ReadParks-before.ReadParks, after.WakesReceived-before.WakesReceived; parks != 2 || wakes != 1 {
		t.Errorf("%d parks and %d wakes, want 2 and 1", parks, wakes)
	}
	if n := cpus.dozers.Load(); n != 0 {
		t.Errorf("%d dozers are left, want none", n)
	}
}

// Whoever is not in a crowd, or waits without spinning, does not doze.
func TestDozeOnlyInCrowds(t *testing.T) {
	for name, prepare := range map[string]func(*Conn) (read int){
		"alone":    func(c *Conn) int { c.in.wait.crowd = 0; return 2 },
		"one byte": func(c *Conn) int { c.in.wait.crowded = true; return 1 },
		"first":    func(c *Conn) int { c.in.wait.waits = 0; return 2 },
	} {
		c, _ := crowdReader(t, false, func(c, peer *Conn, n int) {
			if dozers := cpus.dozers.Load(); dozers != 0 {
				t.Errorf("%s: %d dozers, want none", name, dozers)
			}
			write(t, peer)
		})
		if _, err := c.Read(make([]byte, prepare(c))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The process looks now and then, not each time that somebody yields, and only
// if there is somebody to look for.
func TestLook(t *testing.T) {
	at := int64(0)
	c, _ := crowdReader(t, true, func(c, peer *Conn, n int) {
		if n > 1 { // the first look rouses it in any case
			write(t, peer)
		}
		cpus.looked.Store(at)
		at += int64(lookEvery)
		look(at - 1)
		if c.roused {
			t.Error("looks again too soon")
		}
		look(at)
		if !c.roused {
			t.Error("does not look again")
		}
		if looked := cpus.looked.Load(); looked == at || looked > now() {
			t.Error("does not say when it has looked")
		}
	})
	if err := read(t, c); err != nil {
		t.Error(err)
	}
	cpus.looked.Store(at)
	look(2 * at)
	if cpus.looked.Load() != at {
		t.Error("looks for nobody")
	}
}

// A deadline ends a doze, and rousing ends no deadline.
func TestDozeDeadline(t *testing.T) {
	c, b := crowdReader(t, true, func(c, _ *Conn, n int) {
		if n < maxRousings {
			c.rouse()
			c.rouse()
		}
	})
	const d = 300 * time.Millisecond
	start := time.Now()
	c.SetReadDeadline(start.Add(d))
	if err := read(t, c); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	if took := time.Since(start); took < d {
		t.Errorf("after %v, want %v", took, d)
	}
	if b.sleeps != maxRousings {
		t.Errorf("slept %d times, want %d", b.sleeps, maxRousings)
	}
}

// A deadline that is set before a roused reader runs does not put it to sleep
// again.
func TestDozeRousedForLong(t *testing.T) {
	c, _ := crowdReader(t, true, func(c, peer *Conn, n int) {
		write(t, peer)
		c.rouse()
		c.SetReadDeadline(time.Now().Add(time.Hour))
	})
	if err := read(t, c); err != nil {
		t.Error(err)
	}
	crowd(c)
	c.bell.(*dozeBell).asleep = func(int) { c.SetReadDeadline(time.Now()) }
	if err := read(t, c); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

// A reader is roused for nothing a few times, and then sleeps until its bell rings.
func TestDozeRousedInVain(t *testing.T) {
	c, b := crowdReader(t, false, func(c, peer *Conn, n int) {
		c.rouse()
		if c.roused != (n <= maxRousings) {
			t.Errorf("sleep %d: roused is %t", n, c.roused)
		}
		if n > maxRousings {
			if dozers := cpus.dozers.Load(); dozers != 0 {
				t.Errorf("others look for %d dozers, of whom none can be roused", dozers)
			}
			write(t, peer)
		}
	})
	if err := read(t, c); err != nil {
		t.Error(err)
	}
	if b.sleeps != maxRousings+1 {
		t.Errorf("slept %d times, want %d", b.sleeps, maxRousings+1)
	}
}

// A reader who was roused, or should have been when it was awake, sleeps in later
// waits until there is something to do, whether it dozes or not.
func TestDozeLeavesNoDeadline(t *testing.T) {
	c, b := crowdReader(t, false, func(c, peer *Conn, n int) {
		if n == 1 {
			c.rouse()
			return
		}
		write(t, peer)
	})
	for _, alone := range []bool{false, false, true} {
		crowd(c)
		if alone {
			c.in.wait.crowd = 0
		}
		if err := read(t, c); err != nil {
			t.Error(err)
		}
		c.rouse()
	}
	if b.sleeps != 4 {
		t.Errorf("slept %d times, want 4", b.sleeps)
	}
}

// Whatever happens during a doze is what it is during a sleep.
func TestDozeInterrupted(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(c, peer *Conn)
		want error
	}{
		"deadline":     {func(c, _ *Conn) { c.SetReadDeadline(time.Now()) }, os.ErrDeadlineExceeded},
		"Close":        {func(c, _ *Conn) { go c.Close() }, net.ErrClosed},
		"CloseRead":    {func(c, _ *Conn) { c.CloseRead() }, io.EOF},
		"peer's Close": {func(_, peer *Conn) { peer.Close() }, io.EOF},
		"peer's CloseWrite": {func(_, peer *Conn) {
			peer.CloseWrite()
			doorbell.Look()
		}, io.EOF},
		"peer has crashed": {func(c, _ *Conn) { c.interrupt(stHungUp) }, syscall.ECONNRESET},
	} {
		c, _ := crowdReader(t, true, func(c, peer *Conn, n int) {
			if n == 1 {
				test.do(c, peer)
			}
		})
		if err := read(t, c); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}
