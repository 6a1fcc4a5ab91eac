package ring

import (
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
)

const benchCapacity = 256 << 10

var benchSizes = []int{64, 1 << 10, 64 << 10}

func benchEachSize(b *testing.B, bench func(b *testing.B, size int)) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			bench(b, size)
		})
	}
}

// BenchmarkWriteRead is one message in and out, on one goroutine.
func BenchmarkWriteRead(b *testing.B) {
	benchEachSize(b, func(b *testing.B, size int) {
		e := newEnds(b, benchCapacity, 0)
		in, out := make([]byte, size), make([]byte, size)
		for b.Loop() {
			e.p.Write(in)
			e.c.Read(out)
		}
	})
}

// BenchmarkReservePeek is the same without the copies.
func BenchmarkReservePeek(b *testing.B) {
	benchEachSize(b, func(b *testing.B, size int) {
		e := newEnds(b, benchCapacity, 0)
		for b.Loop() {
			e.p.Writable(size)
			e.p.Reserve(size)
			e.p.Commit(size)
			e.c.Readable()
			e.c.Peek(size)
			e.c.Release(size)
		}
	})
}

// BenchmarkStream moves messages from one goroutine to another, which sleep
// when they find nothing to do.
func BenchmarkStream(b *testing.B) {
	benchEachSize(b, func(b *testing.B, size int) {
		e := newEnds(b, benchCapacity, 0)
		sendBell, receiveBell := newChanBell(nil), newChanBell(nil)
		s := &sender{e.p, sendBell, receiveBell, func() int { return benchCapacity / 2 }}
		r := &receiver{e.c, receiveBell, sendBell}
		benchStream(b, size, func(msg []byte) { s.send(msg) }, func(buf []byte) int {
			n, err := r.receive(buf)
			if err != nil {
				b.Fatal(err)
			}
			return n
		})
		b.ReportMetric(float64(sendBell.sleeps.Load()+receiveBell.sleeps.Load())/float64(b.N), "sleeps/op")
	})
}

// BenchmarkStreamSpin is the same without sleep: an end with nothing to do
// lets others run and tries again.
func BenchmarkStreamSpin(b *testing.B) {
	benchEachSize(b, func(b *testing.B, size int) {
		e := newEnds(b, benchCapacity, 0)
		benchStream(b, size, func(msg []byte) {
			for len(msg) > 0 {
				n, _, _ := e.p.Write(msg)
				if msg = msg[n:]; n == 0 {
					runtime.Gosched()
				}
			}
		}, func(buf []byte) int {
			n, _, _ := e.c.Read(buf)
			if n == 0 {
				runtime.Gosched()
			}
			return n
		})
	})
}

// BenchmarkStreamChannel is the same over a channel of as many messages as
// the ring holds, each copied in and out.
func BenchmarkStreamChannel(b *testing.B) {
	benchEachSize(b, func(b *testing.B, size int) {
		slots := benchCapacity / size
		free, full := make(chan []byte, slots), make(chan []byte, slots)
		for range slots {
			free <- make([]byte, size)
		}
		benchStream(b, size, func(msg []byte) {
			slot := <-free
			copy(slot, msg)
			full <- slot
		}, func(buf []byte) int {
			slot := <-full
			n := copy(buf, slot)
			free <- slot
			return n
		})
	})
}

// BenchmarkStreamMutex is the same over a ring under a mutex.
func BenchmarkStreamMutex(b *testing.B) {
	benchEachSize(b, func(b *testing.B, size int) {
		r := newMutexRing(benchCapacity)
		benchStream(b, size, r.write, r.read)
	})
}

func benchStream(b *testing.B, size int, write func([]byte), read func([]byte) int) {
	in, out := make([]byte, size), make([]byte, size)
	messages := make(chan int)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range messages {
			for range n {
				write(in)
			}
		}
	}()
	b.ResetTimer()
	messages <- b.N
	for left := b.N * size; left > 0; {
		left -= read(out[:min(left, size)])
	}
	close(messages)
	<-done
}

// mutexRing is the plain alternative to package ring within one process.
type mutexRing struct {
	mu         sync.Mutex
	moved      sync.Cond
	data       []byte
	head, tail int
}

func newMutexRing(capacity int) *mutexRing {
	r := &mutexRing{data: make([]byte, capacity)}
	r.moved.L = &r.mu
	return r
}

func (r *mutexRing) write(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(b) > 0 {
		for r.tail-r.head == len(r.data) {
			r.moved.Wait()
		}
		at := r.tail % len(r.data)
		n := copy(r.data[at:min(len(r.data), at+len(r.data)-(r.tail-r.head))], b)
		r.tail += n
		b = b[n:]
		r.moved.Signal()
	}
}

func (r *mutexRing) read(b []byte) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.tail == r.head {
		r.moved.Wait()
	}
	at := r.head % len(r.data)
	n := copy(b, r.data[at:min(len(r.data), at+r.tail-r.head)])
	r.head += n
	r.moved.Signal()
	return n
}

// The rival must work to be a fair one.
func TestMutexRing(t *testing.T) {
	r := newMutexRing(64)
	go func() {
		for i := uint64(0); i < 64_000; i += 50 {
			r.write(stream(make([]byte, 50), i))
		}
	}()
	buf := make([]byte, 37)
	for i := uint64(0); i < 64_000; {
		for _, c := range buf[:r.read(buf)] {
			if c != streamByte(i) {
				t.Fatalf("byte %d is %#x", i, c)
			}
			i++
		}
	}
}

// No operation allocates, whether it finds something to do or not.
func TestNoAllocations(t *testing.T) {
	e := newEnds(t, 4096, 0)
	in, out := make([]byte, 700), make([]byte, 700)
	closed := newEnds(t, 64, 0)
	closed.p.CloseWrite()
	closed.c.CloseRead()
	corrupt := newEnds(t, 64, 0)
	setWord64(corrupt.a, atTail, 65)
	setWord64(corrupt.b, atHead, 65)
	for name, f := range map[string]func(){
		"Write and Read": func() {
			e.p.Write(in)
			e.c.Read(out)
		},
		"in place": func() {
			n, _ := e.p.Writable(900)
			e.p.Reserve(n)
			e.p.Commit(n)
			n, _ = e.c.Readable()
			e.c.Peek(n)
			e.c.Release(n)
		},
		"parking": func() {
			e.c.Announce()
			e.c.Readable()
			e.p.Announce(4096)
			e.p.Writable(4096)
		},
		"closed": func() {
			if _, _, err := closed.p.Write(in); err != ErrReadClosed {
				t.Error(err)
			}
			if _, _, err := closed.c.Read(out); err != io.EOF {
				t.Error(err)
			}
		},
		"corrupt": func() {
			if _, err := corrupt.p.Writable(65); err != ErrCorrupt {
				t.Error(err)
			}
			if _, _, err := corrupt.c.Read(out); err != ErrCorrupt {
				t.Error(err)
			}
		},
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
