package shmconn_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/internal/doorbell/belltest"
	"github.com/shmconn/shmconn/internal/soak"
	"github.com/shmconn/shmconn/shmconn"
)

// TestBlockedDoorbell has the peer make every ring of its doorbell block for
// ever. Whatever rings comes back soon, and the peer is condemned.
func TestBlockedDoorbell(t *testing.T) {
	for name, call := range map[string]func(c *shmconn.Conn, p *rawPeer) error{
		"Write": func(c *shmconn.Conn, p *rawPeer) error {
			p.store(wordDataEvent, p.load(wordTail)) // asks to be woken
			_, err := c.Write([]byte("x"))
			return err
		},
		"Read": func(c *shmconn.Conn, p *rawPeer) error {
			p.store(wordSpaceEvent, p.load(wordHead))
			p.store(wordTail, 1)
			_, err := c.Read(make([]byte, 1))
			return err
		},
		"WriteTo": func(c *shmconn.Conn, p *rawPeer) error {
			p.store(wordSpaceEvent, p.load(wordHead))
			p.store(wordTail, 1)
			_, err := c.WriteTo(io.Discard)
			return err
		},
		"ReadFrom": func(c *shmconn.Conn, p *rawPeer) error {
			p.store(wordDataEvent, p.load(wordTail))
			zero, err := os.Open("/dev/zero")
			if err != nil {
				return err
			}
			defer zero.Close()
			_, err = c.ReadFrom(zero)
			return err
		},
		"CloseRead":  func(c *shmconn.Conn, _ *rawPeer) error { return c.CloseRead() },
		"CloseWrite": func(c *shmconn.Conn, _ *rawPeer) error { return c.CloseWrite() },
		"Close":      func(c *shmconn.Conn, _ *rawPeer) error { return c.Close() },
	} {
		for _, victim := range []string{"client", "server"} {
			t.Run(name+", "+victim, func(t *testing.T) {
				noLeaks(t)
				watchdog(t, patience)
				c, p := hostilePair(t, victim, 4096)
				if err := belltest.Overflow(p.bell); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				// The call during which the ring blocks has done its work; a copy,
				// which goes on, finds the connection dead.
				if err := call(c, p); err != nil && !errors.Is(err, shmconn.ErrCorrupt) {
					t.Errorf("%s: %v", name, err)
				}
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("%s takes %v", name, took)
				}
				if name != "Close" {
					dead(t, c)
					c.Close()
				}
			})
		}
	}
}

// TestBlockedDoorbellAndClose has a Close and deadlines not wait for a
// Write whose ring blocks for longer than that is tolerated.
func TestBlockedDoorbellAndClose(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	c, p := hostilePair(t, "server", 4096)
	if err := belltest.Overflow(p.bell); err != nil {
		t.Fatal(err)
	}
	p.store(wordDataEvent, p.load(wordTail))
	var wg sync.WaitGroup
	wg.Go(func() { c.Write([]byte("x")) })
	wg.Go(func() { c.Read(make([]byte, 1)) })
	start := time.Now()
	if err := c.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("takes %v", took)
	}
}

// TestBlockedDoorbellSparesOthers serves another client of the same process
// meanwhile.
func TestBlockedDoorbellSparesOthers(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	l, path := listen(t, "shm", shmconn.ListenConfig{RingSize: 4096})
	bad := rawClient(t, rawDial(t, path), 4096)
	c := accept(t, l)
	if err := belltest.Overflow(bad.bell); err != nil {
		t.Fatal(err)
	}
	bad.store(wordDataEvent, 0)
	serveEcho(t, l)
	honest := dial(t, "shm", path)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Write([]byte("x"))
	}()
	for rounds := 0; ; rounds++ {
		if err := exchange(honest, "not held up"); err != nil {
			t.Fatal(err)
		}
		select {
		case <-done:
			if rounds == 0 {
				t.Error("nothing goes on while the ring blocks")
			}
			return
		default:
		}
	}
}

// TestStoppedProcess stops the peer's process at random moments for longer
// than a ring may block. Write deadlines hold, and nobody is condemned.
func TestStoppedProcess(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	l, path := listen(t, "shm", shmconn.ListenConfig{RingSize: 4096})
	child := startChild(t, "echo", "shm", path)
	c := accept(t, l)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			child.Process.Signal(unix.SIGSTOP)
			time.Sleep(130 * time.Millisecond) // longer than the guard's patience
			child.Process.Signal(unix.SIGCONT)
		}
	})
	for end := time.Now().Add(soak.Time(time.Second)); time.Now().Before(end); {
		if err := exchange(c, "still the same"); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	wg.Wait()

	child.Process.Signal(unix.SIGSTOP)
	c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	start := time.Now()
	if _, err := c.Write(make([]byte, 10_000)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write to a stopped process: %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("write deadline of 50 ms takes %v", took)
	}
	child.Process.Signal(unix.SIGCONT)
}

// hasty gives each Write a deadline, which must hold, and goes on after it.
type hasty struct {
	*shmconn.Conn
	t        *testing.T
	timeouts int
}

func (h *hasty) Write(b []byte) (n int, err error) {
	for {
		start, limit := time.Now(), rand.N(5*time.Millisecond)
		h.SetWriteDeadline(start.Add(limit))
		k, err := h.Conn.Write(b[n:])
		n += k
		if took := time.Since(start); took > limit+time.Second {
			h.t.Errorf("a write with a deadline of %v takes %v", limit, took)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		h.timeouts++
	}
}

// TestSoakStopped stops a process at random moments while it receives. Every
// write deadline holds, and no byte is lost or sent twice.
func TestSoakStopped(t *testing.T) {
	noLeaks(t)
	span := soak.Time(time.Second)
	watchdog(t, span+2*patience)
	l, path := listen(t, "shm", shmconn.ListenConfig{RingSize: 4096})
	child := startChild(t, "sink", path)
	c := &hasty{Conn: shared(t, accept(t, l)), t: t}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	stops := 0
	wg.Go(func() {
		for ; ; stops++ {
			select {
			case <-stop:
				return
			case <-time.After(rand.N(10 * time.Millisecond)):
			}
			child.Process.Signal(unix.SIGSTOP)
			time.Sleep(rand.N(20 * time.Millisecond))
			child.Process.Signal(unix.SIGCONT)
		}
	})
	n, err := source(c, 4096, new(atomic.Uint64), time.Now().Add(span))
	if err != nil {
		t.Error(err)
	}
	close(stop)
	wg.Wait()
	c.Close()
	if err := child.Wait(); err != nil {
		t.Errorf("the process that was stopped: %v", err)
	}
	t.Logf("%d bytes, stopped %d times, %d deadlines exceeded", n, stops, c.timeouts)
	if c.timeouts == 0 {
		t.Error("no deadline was exceeded")
	}
}
