package ring

import (
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shmconn/shmconn/internal/soak"
)

// stressTime returns how long each of n parts of a stress test takes.
func stressTime(n int) time.Duration {
	return soak.Time(1200*time.Millisecond) / time.Duration(n)
}

// chanBell is a doorbell on which a goroutine really sleeps.
type chanBell struct {
	c      chan struct{}
	quit   <-chan struct{}
	asleep atomic.Bool
	sleeps atomic.Int64
}

func newChanBell(quit <-chan struct{}) *chanBell {
	return &chanBell{c: make(chan struct{}, 1), quit: quit}
}

func (b *chanBell) ring() {
	select {
	case b.c <- struct{}{}:
	default:
	}
}

func (b *chanBell) wait() bool {
	select {
	case <-b.c: // rung since the last sleep
		return true
	default:
	}
	b.sleeps.Add(1)
	b.asleep.Store(true)
	defer b.asleep.Store(false)
	select {
	case <-b.c:
		return true
	case <-b.quit:
		return false
	}
}

// stallTime is how long nothing may move before the watchdog looks closer. It
// is far more than a machine under load needs to run a runnable goroutine.
const stallTime = 10 * time.Second

// direction is one ring under stress, with what the watchdog needs to know.
type direction struct {
	ends
	producer, consumer *chanBell
	sent, received     atomic.Uint64
}

func newDirection(e ends, quit <-chan struct{}) *direction {
	return &direction{ends: e, producer: newChanBell(quit), consumer: newChanBell(quit)}
}

// diagnose tells what a stalled direction is waiting for, from the words that
// both ends have published.
func (d *direction) diagnose() string {
	tail, head := d.p.mine.tail.load(), d.c.mine.head.load()
	state := fmt.Sprintf("produced %#x, consumed %#x, producer asleep %v (event %#x), consumer asleep %v (event %#x)",
		tail, head, d.producer.asleep.Load(), d.p.mine.spaceEvent.load(), d.consumer.asleep.Load(), d.c.mine.dataEvent.load())
	switch inFlight := tail - head; {
	case d.consumer.asleep.Load() && inFlight > 0 && d.producer.asleep.Load():
		return "lost wake-up, both ends sleep: " + state
	case d.consumer.asleep.Load() && inFlight > 0:
		return "the consumer sleeps with bytes to read: " + state
	case d.producer.asleep.Load() && inFlight == 0:
		return "the producer sleeps with the ring empty: " + state
	}
	return "stalled: " + state
}

// watch closes quit, which makes all doorbells give up, and fails the test
// when no direction moves for stallTime. stop ends it.
func watch(t *testing.T, quit chan<- struct{}, dirs ...*direction) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(stallTime)
		defer tick.Stop()
		var last uint64
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			var now uint64
			for _, d := range dirs {
				now += d.sent.Load() + d.received.Load()
			}
			if now == last {
				for _, d := range dirs {
					t.Error(d.diagnose())
				}
				close(quit)
				return
			}
			last = now
		}
	}()
	return func() { close(done); <-ended }
}

// run moves a stream of random chunks through d until the deadline.
func (d *direction) run(t *testing.T, deadline time.Time, start uint64, seed uint64, maxChunk int) {
	capacity := d.p.Capacity()
	var wg sync.WaitGroup
	wg.Go(func() {
		r := newRand(seed)
		s := &sender{d.p, d.producer, d.consumer, func() int { return 1 + r.IntN(capacity) }}
		defer s.close()
		buf := make([]byte, maxChunk)
		for index := start; time.Now().Before(deadline); {
			b := stream(buf[:1+r.IntN(maxChunk)], index)
			if !s.send(b) {
				return
			}
			index += uint64(len(b))
			d.sent.Add(uint64(len(b)))
		}
	})
	wg.Go(func() {
		r := newRand(seed + 1)
		rc := &receiver{d.c, d.consumer, d.producer}
		buf := make([]byte, maxChunk)
		for index := start; ; {
			n, err := rc.receive(buf[:1+r.IntN(maxChunk)])
			for i, c := range buf[:n] {
				if c != streamByte(index+uint64(i)) {
					t.Errorf("byte %#x is %#x, want %#x", index+uint64(i), c, streamByte(index+uint64(i)))
					return
				}
			}
			index += uint64(n)
			d.received.Add(uint64(n))
			if n == 0 {
				if err != io.EOF {
					t.Errorf("receive: %v", err)
				}
				return
			}
		}
	})
	wg.Wait()
	if s, r := d.sent.Load(), d.received.Load(); s != r && !t.Failed() {
		t.Errorf("%d bytes sent, %d received", s, r)
	}
	t.Logf("%d bytes", d.received.Load())
}

// TestSoakIntegrity moves random chunks between two goroutines, over rings of
// several sizes, with counters that pass 2^32 and 2^64.
func TestSoakIntegrity(t *testing.T) {
	capacities := []int{64, 4096, 64 << 10}
	for _, capacity := range capacities {
		for _, start := range starts {
			t.Run(fmt.Sprintf("%d from %#x", capacity, start), func(t *testing.T) {
				quit := make(chan struct{})
				d := newDirection(newEnds(t, capacity, start), quit)
				defer watch(t, quit, d)()
				d.run(t, time.Now().Add(stressTime(len(capacities)*len(starts))), start, uint64(capacity), 2*capacity)
			})
		}
	}
}

// TestSoakParking makes both ends sleep and wake all the time, one direction and
// then a ping-pong over both, and looks for a wake-up that never comes.
func TestSoakParking(t *testing.T) {
	for _, procs := range []int{1, 2, 4} {
		t.Run(fmt.Sprintf("GOMAXPROCS=%d", procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			t.Run("stream", func(t *testing.T) {
				quit := make(chan struct{})
				d := newDirection(newEnds(t, 64, 0), quit)
				defer watch(t, quit, d)()
				d.run(t, time.Now().Add(stressTime(6)), 0, uint64(procs), 64)
				reportSleeps(t, d.producer, d.consumer)
			})
			t.Run("pingpong", func(t *testing.T) { pingpong(t, time.Now().Add(stressTime(6))) })
		})
	}
}

// pingpong has each end answer the other's byte, so that one of the two is
// asleep nearly always. An end has one doorbell for both of its directions.
func pingpong(t *testing.T, deadline time.Time) {
	a, b := make([]byte, MemorySize(64)), make([]byte, MemorySize(64))
	quit := make(chan struct{})
	ab, ba := newDirection(endsOver(t, a, b, 0), quit), newDirection(endsOver(t, b, a, 0), quit)
	atA, atB := ab.producer, ab.consumer
	ba.consumer, ba.producer = atA, atB
	defer watch(t, quit, ab, ba)()

	need := func() int { return 1 }
	var wg sync.WaitGroup
	wg.Go(func() {
		s, r := &sender{ab.p, atA, atB, need}, &receiver{ba.c, atA, atB}
		defer s.close()
		buf := make([]byte, 1)
		for i := 0; i%64 != 0 || time.Now().Before(deadline); i++ {
			if !s.send([]byte{byte(i)}) {
				return
			}
			ab.sent.Add(1)
			if n, err := r.receive(buf); n != 1 || buf[0] != byte(i)+1 {
				t.Errorf("answer %d = %d, %v, %v", i, n, buf[0], err)
				return
			}
			ba.received.Add(1)
		}
	})
	wg.Go(func() {
		s, r := &sender{ba.p, atB, atA, need}, &receiver{ab.c, atB, atA}
		defer s.close()
		buf := make([]byte, 1)
		for {
			n, _ := r.receive(buf)
			if n == 0 || !s.send([]byte{buf[0] + 1}) {
				return
			}
			ab.received.Add(1)
			ba.sent.Add(1)
		}
	})
	wg.Wait()
	reportSleeps(t, atA, atB)
}

// reportSleeps fails a test of sleeping in which nobody slept.
func reportSleeps(t *testing.T, a, b *chanBell) {
	n := a.sleeps.Load() + b.sleeps.Load()
	t.Logf("%d sleeps", n)
	if n < 1000 {
		t.Errorf("only %d sleeps", n)
	}
}
