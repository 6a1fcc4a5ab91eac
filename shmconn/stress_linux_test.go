package shmconn_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/shmconn"
)

// A detector fails the test when there has been no progress for a while, with
// what both ends say of themselves: a lost wake-up is for ever.
type detector struct {
	progress atomic.Uint64
	stop     chan struct{}
	done     chan struct{}
}

func detect(t testing.TB, conns ...net.Conn) *detector {
	d := &detector{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(d.done)
		last, since := uint64(0), time.Now()
		for {
			select {
			case <-d.stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
			if now := d.progress.Load(); now != last {
				last, since = now, time.Now()
			}
			if time.Since(since) < patience {
				continue
			}
			var b strings.Builder
			for _, c := range conns {
				if s, ok := c.(*shmconn.Conn); ok {
					fmt.Fprintf(&b, "%v: %+v\n", c.LocalAddr(), s.Stats())
				}
			}
			fmt.Fprintf(os.Stderr, "%s: lost wake-up: no progress after %d steps\n%s\n%s\n", t.Name(), last, b.String(), strings.Join(stacks(), "\n\n"))
			os.Exit(2)
		}
	}()
	return d
}

func (d *detector) end() {
	close(d.stop)
	<-d.done
}

// pingPong sends single bytes there and back until end. Reads of one byte do
// not spin, so that both ends sleep in each round unless the answer is there
// already. If meet is set, it waits a moment before it reads, longer whenever it
// had to sleep and shorter whenever it had not, so as to fall asleep just when
// the answer comes.
func pingPong(c *shmconn.Conn, d *detector, meet bool, end time.Time) (rounds int, err error) {
	b := make([]byte, 1)
	pause, slept := 10*time.Microsecond, c.Stats().ReadParks
	for ; rounds%64 != 0 || time.Now().Before(end); rounds++ {
		if _, err := c.Write(b); err != nil {
			return rounds, err
		}
		if meet {
			busy(pause + rand.N(time.Microsecond))
		}
		if _, err := c.Read(b); err != nil {
			return rounds, err
		}
		if before := slept; meet {
			if slept = c.Stats().ReadParks; slept > before {
				pause = min(pause+200*time.Nanosecond, 100*time.Microsecond)
			} else {
				pause = max(pause-200*time.Nanosecond, 0)
			}
		}
		d.progress.Add(1)
	}
	return rounds, nil
}

// busy takes that long without giving the CPU up.
func busy(d time.Duration) {
	for start := time.Now(); d > 0 && time.Since(start) < d; {
	}
}

// echoBytes answers each byte by one.
func echoBytes(c net.Conn) {
	b := make([]byte, 1)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

func childEchoBytes(args []string) error {
	go orphaned()
	c, err := shmconn.Dial("shm", args[0])
	if err != nil {
		return err
	}
	echoBytes(c)
	return nil
}

func childBusy([]string) error {
	go orphaned()
	for turns := new(atomic.Uint64); ; {
		turns.Add(1)
	}
}

// keepBusy has other processes compete for every CPU.
func keepBusy(t testing.TB) {
	for range 2 {
		startChild(t, "busy")
	}
}

// asleep asserts that a good part of the rounds was spent asleep, without
// which the test would show nothing.
func asleep(t testing.TB, c net.Conn, rounds int) {
	t.Helper()
	s := shared(t, c).Stats()
	t.Logf("%d rounds, %+v", rounds, s)
	if s.ReadParks < uint64(rounds)/20 {
		t.Errorf("a reader has slept %d times in %d rounds", s.ReadParks, rounds)
	}
	if s.WakesReceived == 0 || s.WakesSent == 0 {
		t.Errorf("no wake-ups: %+v", s)
	}
}

// TestLostWakeups looks for one, in one process and two, with the CPUs free
// and taken by others. GOMAXPROCS is up to whoever runs it.
func TestLostWakeups(t *testing.T) {
	for _, processes := range []int{1, 2} {
		for _, competed := range []bool{false, true} {
			for _, meet := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d processes, competed %v, meeting %v", processes, competed, meet), func(t *testing.T) {
					noLeaks(t)
					span := stress(400 * time.Millisecond)
					watchdog(t, span+2*patience)
					if competed {
						keepBusy(t)
					}
					l, path := listen(t, "shm", shmconn.ListenConfig{RingSize: 4096})
					var wg sync.WaitGroup
					if processes == 2 {
						startChild(t, "echo bytes", path)
					} else {
						far := dial(t, "shm", path)
						wg.Go(func() {
							echoBytes(far)
							far.Close()
						})
					}
					c := shared(t, accept(t, l))
					d := detect(t, c)
					rounds, err := pingPong(c, d, meet, time.Now().Add(span))
					d.end()
					if err != nil {
						t.Error(err)
					}
					asleep(t, c, rounds)
					c.Close()
					wg.Wait()
				})
			}
		}
	}
}

// childSink reads what source sends, and checks it.
func childSink(args []string) error {
	go orphaned()
	c, err := shmconn.Dial("shm", args[0])
	if err != nil {
		return err
	}
	return sink(c, new(atomic.Uint64))
}

// source writes numbered bytes, in writes of random sizes around that of the
// ring, until end.
func source(c net.Conn, ring int, progress *atomic.Uint64, end time.Time) (n int64, err error) {
	buf := make([]byte, 2*ring)
	for time.Now().Before(end) {
		b := buf[:1+rand.N(len(buf))]
		for i := range b {
			b[i] = byte((n + int64(i)) % 251)
		}
		k, err := c.Write(b)
		n += int64(k)
		if err != nil {
			return n, err
		}
		progress.Add(1)
		busy(rand.N(10 * time.Microsecond))
	}
	return n, nil
}

// sink checks the numbers.
func sink(c net.Conn, progress *atomic.Uint64) error {
	buf := make([]byte, 10_000)
	for n := int64(0); ; {
		k, err := c.Read(buf[:1+rand.N(len(buf))])
		for i, b := range buf[:k] {
			if want := byte((n + int64(i)) % 251); b != want {
				return fmt.Errorf("byte %d is %d, want %d", n+int64(i), b, want)
			}
		}
		n += int64(k)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		progress.Add(1)
		busy(rand.N(10 * time.Microsecond))
	}
}

// TestFullRing has writers sleep for space as well as readers for data.
func TestFullRing(t *testing.T) {
	for _, processes := range []int{1, 2} {
		for _, competed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d processes, competed %v", processes, competed), func(t *testing.T) {
				noLeaks(t)
				span := stress(400 * time.Millisecond)
				watchdog(t, span+2*patience)
				if competed {
					keepBusy(t)
				}
				l, path := listen(t, "shm", shmconn.ListenConfig{RingSize: 4096})
				result := make(chan error, 1)
				if processes == 2 {
					child := startChild(t, "sink", path)
					go func() {
						io.Copy(io.Discard, child.out)
						result <- child.Wait()
					}()
				} else {
					far := dial(t, "shm", path)
					go func() { result <- sink(far, new(atomic.Uint64)) }()
				}
				c := accept(t, l)
				d := detect(t, c)
				n, err := source(c, 4096, &d.progress, time.Now().Add(span))
				if err != nil {
					t.Error(err)
				}
				c.Close()
				if err := <-result; err != nil {
					t.Errorf("sink: %v", err)
				}
				d.end()
				s := c.(*shmconn.Conn).Stats()
				t.Logf("%d bytes, %+v", n, s)
				if s.FullWaits == 0 || s.BytesWritten != uint64(n) {
					t.Errorf("wrote %d bytes, %+v", n, s)
				}
			})
		}
	}
}

// TestDeadlineStorm moves deadlines all the time under a stream in both
// directions: no byte is lost or sent twice.
func TestDeadlineStorm(t *testing.T) {
	noLeaks(t)
	span := stress(500 * time.Millisecond)
	watchdog(t, span+2*patience)
	a, b := pair(t, 4096)
	d := detect(t, a, b)
	end := time.Now().Add(span)
	var flows, storms sync.WaitGroup
	stop := make(chan struct{})
	for _, c := range []*shmconn.Conn{a, b} {
		retry := patient{c}
		flows.Go(func() {
			if _, err := source(retry, 4096, &d.progress, end); err != nil {
				t.Errorf("source: %v", err)
			}
			c.CloseWrite()
		})
		flows.Go(func() {
			if err := sink(retry, &d.progress); err != nil {
				t.Errorf("sink: %v", err)
			}
		})
		storms.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				at := time.Now().Add(rand.N(200*time.Microsecond) - 50*time.Microsecond)
				if rand.N(3) == 0 {
					at = time.Time{}
				}
				var err error
				switch rand.N(3) {
				case 0:
					err = c.SetDeadline(at)
				case 1:
					err = c.SetReadDeadline(at)
				case 2:
					err = c.SetWriteDeadline(at)
				}
				if err != nil {
					t.Errorf("set deadline: %v", err)
					return
				}
				busy(rand.N(20 * time.Microsecond))
			}
		})
	}
	flows.Wait()
	close(stop)
	storms.Wait()
	d.end()
}

// patient goes on after a timeout.
type patient struct{ *shmconn.Conn }

func (p patient) Read(b []byte) (int, error) {
	for {
		n, err := p.Conn.Read(b)
		if !errors.Is(err, os.ErrDeadlineExceeded) || n > 0 {
			return n, err
		}
		p.SetReadDeadline(time.Time{})
	}
}

func (p patient) Write(b []byte) (n int, err error) {
	for {
		k, err := p.Conn.Write(b[n:])
		n += k
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		p.SetWriteDeadline(time.Time{})
	}
}

// TestCloseRaces closes connections under everything else that can be called,
// from several goroutines at once, on both ends. Nobody hangs, faults, or gets
// an error that is not of the end.
func TestCloseRaces(t *testing.T) {
	noLeaks(t)
	span := stress(2 * time.Second)
	watchdog(t, span+4*patience)
	l, path := listen(t, "shm", shmconn.ListenConfig{RingSize: 4096})
	closes := 0
	for end := time.Now().Add(span); time.Now().Before(end); closes++ {
		c := shared(t, dial(t, "shm", path))
		s := shared(t, accept(t, l))
		closeRace(t, c, s)
	}
	t.Logf("%d connections", closes)
}

func closeRace(t *testing.T, ends ...*shmconn.Conn) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	run := func(f func() error) {
		wg.Go(func() {
			<-start
			for {
				err := f()
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err != nil && err != io.EOF && !errors.Is(err, unix.EPIPE) && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("error is %v", err)
					return
				}
				runtime.Gosched() // lets Close come into play soon on one CPU
			}
		})
	}
	for _, c := range ends {
		run(func() error { _, err := c.Read(make([]byte, 100)); return err })
		run(func() error { _, err := c.Write(make([]byte, 3000)); return err })
		run(func() error {
			err := c.SetDeadline(time.Now().Add(rand.N(100 * time.Microsecond)))
			if err == nil {
				err = c.SetDeadline(time.Time{})
			}
			return err
		})
		switch rand.N(5) {
		case 0:
			run(c.CloseWrite)
		case 1:
			run(c.CloseRead)
		case 2:
			run(func() error {
				_, err := c.WriteTo(writerFunc(func(b []byte) (int, error) { return len(b), nil }))
				if err == nil {
					err = c.SetReadDeadline(time.Time{})
				}
				return err
			})
		case 3:
			run(func() error {
				_, err := c.ReadFrom(strings.NewReader("some text"))
				return err
			})
		case 4:
			run(func() error {
				c.Stats()
				c.PeerCredentials()
				return c.SetReadDeadline(time.Time{})
			})
		}
		for range 2 {
			wg.Go(func() {
				<-start
				busy(rand.N(100 * time.Microsecond))
				if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
					t.Errorf("close: %v", err)
				}
			})
		}
	}
	close(start)
	wg.Wait()
}

// TestConnectClose leaves nothing behind, however early a connection is
// closed, whether or not anything was sent.
func TestConnectClose(t *testing.T) {
	noLeaks(t)
	span := stress(time.Second)
	watchdog(t, span+2*patience)
	l, path := listen(t, "unix", shmconn.ListenConfig{})
	n := 0
	for end := time.Now().Add(span); time.Now().Before(end); n++ {
		c := dial(t, "shm", path)
		s := accept(t, l)
		switch n % 4 {
		case 0:
			io.WriteString(c, "never read")
		case 1:
			io.WriteString(s, "never read")
			s.Close()
		case 2:
			if err := exchangeBetween(c, s, strconv.Itoa(n)); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
		s.Close()
	}
	t.Logf("%d connections", n)
}

func exchangeBetween(a, b net.Conn, msg string) error {
	if _, err := io.WriteString(a, msg); err != nil {
		return err
	}
	buf := make([]byte, len(msg))
	if _, err := io.ReadFull(b, buf); err != nil || string(buf) != msg {
		return fmt.Errorf("got %q, %w", buf, err)
	}
	return nil
}
