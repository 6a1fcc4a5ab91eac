package shmconn_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shmconn/shmconn/internal/soak"
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

// TestSoakLostWakeups looks for one, in one process and two, with the CPUs free
// and taken by others. GOMAXPROCS is up to whoever runs it.
func TestSoakLostWakeups(t *testing.T) {
	for _, processes := range []int{1, 2} {
		for _, competed := range []bool{false, true} {
			for _, meet := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d processes, competed %v, meeting %v", processes, competed, meet), func(t *testing.T) {
					noLeaks(t)
					span := soak.Time(8*400*time.Millisecond) / 8
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
