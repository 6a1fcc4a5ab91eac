//go:build ringhook

package shmconn

import (
	"errors"
	"flag"
	"net"
	"os"
	"testing"
	"time"

	"github.com/shmconn/shmconn/internal/explore"
	"github.com/shmconn/shmconn/memfd"
	"github.com/shmconn/shmconn/ring"
)

var preemptions = flag.Int("preemptions", 2, "explore schedules with up to this many preemptions")

func init() { ring.Hook = func() { explore.Pause(nil) } }

// pollBell is an eventfd in the runtime's poller, as both treat a doorbell: a
// ring is an edge for either direction, which is remembered until it is
// consumed, and forgotten when a wait begins.
type pollBell struct {
	read, write pollSide
	waiting     int
	closed      bool
}

type pollSide struct{ edge, past bool }

func (b *pollBell) WaitRead(ready func(uintptr) bool) error  { return b.wait(&b.read, ready) }
func (b *pollBell) WaitWrite(ready func(uintptr) bool) error { return b.wait(&b.write, ready) }

func (b *pollBell) wait(s *pollSide, ready func(uintptr) bool) error {
	explore.Pause(nil)
	if err := b.err(s); err != nil {
		return err
	}
	b.waiting++
	defer func() { b.waiting-- }()
	s.edge = false
	for !ready(0) {
		explore.Pause(nil)
		explore.Pause(func() bool { return s.edge || b.err(s) != nil })
		if err := b.err(s); err != nil {
			return err
		}
		s.edge = false
	}
	return nil
}

func (b *pollBell) err(s *pollSide) error {
	switch {
	case b.closed:
		return net.ErrClosed
	case s.past:
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (b *pollBell) SetReadDeadline(at time.Time) error  { return b.setDeadline(&b.read, at) }
func (b *pollBell) SetWriteDeadline(at time.Time) error { return b.setDeadline(&b.write, at) }

func (b *pollBell) setDeadline(s *pollSide, at time.Time) error {
	explore.Pause(nil)
	if b.closed {
		return net.ErrClosed
	}
	s.past = !at.IsZero() // none of these tests waits for the time to come
	return nil
}

func (b *pollBell) Observe(func()) error { return nil }

// Close returns when nobody waits any more, as that of a file does.
func (b *pollBell) Close() {
	explore.Pause(nil)
	b.closed = true
	explore.Pause(func() bool { return b.waiting == 0 })
}

// pollRinger rings the other end's bell.
type pollRinger struct {
	x      *explore.Explorer
	far    *pollBell
	closed bool
}

func (r *pollRinger) Ring() error {
	explore.Pause(nil)
	if r.closed {
		r.x.Problem("rings a closed descriptor")
	}
	r.far.read.edge, r.far.write.edge = true, true
	return nil
}

func (r *pollRinger) Close() {
	if r.closed {
		r.x.Problem("closes twice")
	}
	r.closed = true
}

type nobody struct{}

func (nobody) Stop() {}

const exploredRing = 64 // bytes, in each direction

// exploreConns explores a program with both ends of a connection. They are as
// newConn makes them, but for the socket, which they have none of, and their
// bells. Their memory is unmapped with the last use, so that a later one
// faults.
func exploreConns(t *testing.T, setup func(x *explore.Explorer, a, b *Conn) (check func())) {
	t.Helper()
	size := fileSize(exploredRing)
	var files [2]*os.File
	for i := range files {
		f, err := memfd.Create("shmconn-explored", size)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	explore.Explore(t, *preemptions, func(x *explore.Explorer) func() {
		var conns [2]*Conn
		bells := [2]*pollBell{{}, {}}
		for i := range conns {
			e := ends{toPeer: exploredRing, toUs: exploredRing, peerBell: -1}
			var err error
			if e.mine, err = memfd.MapReadWrite(files[i], size); err != nil {
				t.Fatal(err)
			}
			clear(e.mine)
			if e.theirs, err = memfd.MapReadOnly(files[1-i], size); err != nil {
				t.Fatal(err)
			}
			c := &Conn{sock: new(net.UnixConn), watch: nobody{}, bell: bells[i], peerBell: -1}
			if err := c.join(e, func() ringer { return &pollRinger{x: x, far: bells[1-i]} }); err != nil {
				t.Fatal(err)
			}
			c.setSpinBudget(-1) // takes time, of which there is none here
			conns[i] = c
		}
		check := setup(x, conns[0], conns[1])
		return func() {
			check()
			for i, c := range conns {
				switch {
				case c.mine != nil && c.status.Load()&stReleasable != 0:
					x.Problem("end %d is closed, and its memory still mapped", i)
				case c.mine != nil:
					memfd.Unmap(c.mine)
					memfd.Unmap(c.theirs)
				}
			}
		}
	})
}

// A tracer sends, and receives, numbered bytes.
type tracer struct {
	x    *explore.Explorer
	c    *Conn
	sent int
	got  int
}

// send writes n bytes and returns the error.
func (tr *tracer) send(n int) error {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(tr.sent + i + 1)
	}
	k, err := tr.c.Write(b)
	tr.sent += k
	if err == nil && k != n {
		tr.x.Problem("wrote %d bytes of %d without an error", k, n)
	}
	return err
}

// receive reads once.
func (tr *tracer) receive(size int) error {
	b := make([]byte, size)
	n, err := tr.c.Read(b)
	for i, v := range b[:n] {
		if want := byte(tr.got + i + 1); v != want {
			tr.x.Problem("byte %d is %d, want %d", tr.got+i, v, want)
		}
	}
	tr.got += n
	if err == nil && n == 0 {
		tr.x.Problem("read nothing")
	}
	return err
}

// drain reads to the end.
func (tr *tracer) drain(size int) (err error) {
	for err == nil {
		err = tr.receive(size)
	}
	return err
}

// want reports an error that is not the right one.
func (tr *tracer) want(err, want error) {
	if !errors.Is(err, want) {
		tr.x.Problem("error is %v, want %v", err, want)
	}
}
