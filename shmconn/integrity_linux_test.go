package shmconn_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shmconn/shmconn/internal/soak"
	"github.com/shmconn/shmconn/shmconn"
)

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

// TestSoakFullRing has writers sleep for space as well as readers for data.
func TestSoakFullRing(t *testing.T) {
	for _, processes := range []int{1, 2} {
		for _, competed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d processes, competed %v", processes, competed), func(t *testing.T) {
				noLeaks(t)
				span := soak.Time(4*400*time.Millisecond) / 4
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

// TestSoakIntegrity sends numbered bytes both ways while the counters pass 2^32
// and 2^64.
func TestSoakIntegrity(t *testing.T) {
	starts := []uint64{1<<32 - 50_000, 1<<64 - 50_000}
	for _, start := range starts {
		t.Run(fmt.Sprintf("%#x", start), func(t *testing.T) {
			noLeaks(t)
			span := soak.Time(time.Second) / time.Duration(len(starts))
			watchdog(t, span+2*patience)
			a, b := pair(t, 4096)
			if err := shmconn.StartAt(start, a, b); err != nil {
				t.Fatal(err)
			}
			d := detect(t, a, b)
			end := time.Now().Add(span)
			var flows sync.WaitGroup
			for _, ends := range [][2]*shmconn.Conn{{a, b}, {b, a}} {
				flows.Go(func() {
					n, err := source(ends[0], 4096, &d.progress, end)
					if err != nil {
						t.Errorf("source: %v", err)
					}
					ends[0].CloseWrite()
					if published := shmconn.Published(ends[1]); published != start+uint64(n) {
						t.Errorf("published %#x after %d bytes", published, n)
					}
					if (start+uint64(n))>>32 == start>>32 {
						t.Errorf("%d bytes do not pass the limit", n)
					}
					t.Logf("%d bytes", n)
				})
				flows.Go(func() {
					if err := sink(ends[1], &d.progress); err != nil {
						t.Errorf("sink: %v", err)
					}
				})
			}
			flows.Wait()
			d.end()
		})
	}
}

// TestSoakDeadlines moves deadlines all the time under a stream in both
// directions: no byte is lost or sent twice.
func TestSoakDeadlines(t *testing.T) {
	noLeaks(t)
	span := soak.Time(500 * time.Millisecond)
	watchdog(t, span+2*patience)
	a, b := pair(t, 4096)
	d := detect(t, a, b)
	end := time.Now().Add(span)
	var flows, storms sync.WaitGroup
	stop := make(chan struct{})
	var deadlines, bytes atomic.Int64
	for _, c := range []*shmconn.Conn{a, b} {
		retry := patient{c}
		flows.Go(func() {
			n, err := source(retry, 4096, &d.progress, end)
			if err != nil {
				t.Errorf("source: %v", err)
			}
			bytes.Add(n)
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
				deadlines.Add(1)
				busy(rand.N(20 * time.Microsecond))
			}
		})
	}
	flows.Wait()
	close(stop)
	storms.Wait()
	d.end()
	t.Logf("%d deadlines, %d bytes", deadlines.Load(), bytes.Load())
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
