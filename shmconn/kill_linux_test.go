package shmconn_test

import (
	"context"
	"encoding/binary"
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

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/internal/soak"
	"github.com/shmconn/shmconn/shmconn"
)

// The victims of this file are killed while they are at their parts, which have
// no end of their own.

// childProducer dials args[0], sends numbered bytes, and says on its standard
// output after each Write how many have been sent in all.
func childProducer(args []string) error {
	go orphaned()
	c, err := shmconn.Dial("shm", args[0])
	if err != nil {
		return err
	}
	for n := int64(0); ; {
		b := make([]byte, 1+rand.N(6000))
		for i := range b {
			b[i] = byte((n + int64(i)) % 251)
		}
		k, err := c.Write(b)
		n += int64(k)
		if err != nil {
			return err
		}
		if err := binary.Write(os.Stdout, binary.NativeEndian, n); err != nil {
			return err
		}
	}
}

// childVisitor dials args[0] again and again, and leaves each connection with
// as many numbered bytes as it likes.
func childVisitor(args []string) error {
	go orphaned()
	for {
		c, err := shmconn.Dial("shm", args[0])
		if err != nil {
			return err
		}
		if _, err := c.Write(numbered(rand.N(4000))); err != nil {
			return err
		}
		if rand.N(2) == 0 {
			c.(*shmconn.Conn).CloseWrite()
		}
		c.Close()
	}
}

func numbered(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

// childHost listens on args[0] and echoes.
func childHost(args []string) error {
	go orphaned()
	l, err := (&shmconn.ListenConfig{RingSize: 4096}).Listen(context.Background(), "shm", args[0])
	if err != nil {
		return err
	}
	fmt.Println("listening")
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go echo(c)
	}
}

// kill sends SIGKILL at a random moment and returns when the process is gone,
// with all its descriptors closed.
func (c *child) kill() {
	time.Sleep(rand.N(2 * time.Millisecond))
	c.Process.Kill()
	c.Wait()
}

// soon is how long an end may take to notice a death.
const soon = time.Second

// noticed asserts that what has ended has done so soon after the death.
func noticed(t testing.TB, what string, death time.Time) {
	t.Helper()
	if took := time.Since(death); took > soon {
		t.Errorf("%s is noticed after %v", what, took)
	}
}

// gone asserts that both directions of c tell that its peer has died.
func gone(t testing.TB, c net.Conn) {
	t.Helper()
	if n, err := c.Read(make([]byte, 10)); n != 0 || !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("read %d bytes, %v; want ECONNRESET", n, err)
	}
	if n, err := c.Write(make([]byte, 10)); n != 0 || !errors.Is(err, unix.EPIPE) {
		t.Errorf("wrote %d bytes, %v; want EPIPE", n, err)
	}
}

// killings are the parts in which a process is killed.
var killings = []struct {
	name string
	run  func(t *testing.T)
}{
	{"producer", killProducer},
	{"consumer", killConsumer},
	{"echo", killEcho},
	{"visitor", killVisitor},
	{"host", killHost},
}

// TestSoakKill kills processes at random moments: producers, consumers, those
// who do both, clients and servers that are setting up and closing connections.
// The other end has all that was published, and not a byte more, then the error
// of the death, at once.
func TestSoakKill(t *testing.T) {
	noLeaks(t)
	span := soak.Time(4 * time.Second)
	watchdog(t, span+4*patience)
	var kills [5]atomic.Int64
	var workers sync.WaitGroup
	threads := countThreads(t)
	end := time.Now().Add(span)
	for w := range 2 {
		workers.Go(func() {
			for i := w; time.Now().Before(end) && !t.Failed(); i++ {
				k := i % len(killings)
				t.Run(killings[k].name, killings[k].run) // cleans up after each
				kills[k].Add(1)
			}
		})
	}
	workers.Wait()
	total := int64(0)
	for i, k := range killings {
		t.Logf("%d times the %s", kills[i].Load(), k.name)
		total += kills[i].Load()
	}
	t.Logf("%d kills", total)
	// The runtime keeps threads that were once needed.
	if now := countThreads(t); now > threads+16 {
		t.Errorf("%d threads before, %d after", threads, now)
	}
}

func countThreads(t testing.TB) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}

// victim starts a child and returns it with the listener that it dials.
func victim(t *testing.T, part string) (*child, net.Listener) {
	l, path := listen(t, "shm", shmconn.ListenConfig{RingSize: 4096})
	return startChild(t, part, path), l
}

func killProducer(t *testing.T) {
	v, l := victim(t, "producer")
	defer l.Close()
	c := accept(t, l)
	defer c.Close()
	said := make(chan int64)
	go func() {
		last := int64(0)
		for n := int64(0); binary.Read(v.out, binary.NativeEndian, &n) == nil; {
			last = n
		}
		said <- last
	}()
	died := make(chan time.Time)
	go func() {
		v.kill()
		died <- time.Now()
	}()
	n, err := takeAll(c)
	noticed(t, "a producer's death", <-died)
	if published := int64(shmconn.Published(c.(*shmconn.Conn))); n != published {
		t.Errorf("received %d bytes of %d published", n, published)
	}
	if last := <-said; n < last {
		t.Errorf("received %d bytes of %d sent", n, last)
	}
	if !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("after the producer's death: %v", err)
	}
	gone(t, c)
}

// takeAll receives numbered bytes until something else comes.
func takeAll(c net.Conn) (n int64, err error) {
	buf := make([]byte, 5000)
	for {
		k, err := c.Read(buf[:1+rand.N(len(buf))])
		for i, b := range buf[:k] {
			if want := byte((n + int64(i)) % 251); b != want {
				return n, fmt.Errorf("byte %d is %d, want %d", n+int64(i), b, want)
			}
		}
		n += int64(k)
		if err != nil {
			return n, err
		}
	}
}

func killConsumer(t *testing.T) {
	v, l := victim(t, "sink")
	defer l.Close()
	c := accept(t, l)
	defer c.Close()
	died := make(chan time.Time)
	go func() {
		v.kill()
		died <- time.Now()
	}()
	_, err := source(c, 4096, new(atomic.Uint64), time.Now().Add(patience))
	noticed(t, "a consumer's death", <-died)
	if !errors.Is(err, unix.EPIPE) {
		t.Errorf("after the consumer's death: %v", err)
	}
	gone(t, c)
}

func killEcho(t *testing.T) {
	v, l := victim(t, "echo to kill")
	defer l.Close()
	c := accept(t, l)
	defer c.Close()
	var ends sync.WaitGroup
	ends.Go(func() {
		if _, err := source(c, 4096, new(atomic.Uint64), time.Now().Add(patience)); !errors.Is(err, unix.EPIPE) {
			t.Errorf("writing at the death: %v", err)
		}
	})
	ends.Go(func() {
		n, err := takeAll(c)
		if published := int64(shmconn.Published(c.(*shmconn.Conn))); n != published || !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("received %d bytes of %d, then %v", n, published, err)
		}
	})
	v.kill()
	death := time.Now()
	ends.Wait()
	noticed(t, "the other's death", death)
	gone(t, c)
}

// killVisitor kills a client somewhere between its connections' beginnings and
// ends.
func killVisitor(t *testing.T) {
	v, l := victim(t, "visitor")
	defer l.Close()
	var conns sync.WaitGroup
	serve := func(c net.Conn) {
		defer c.Close()
		n, err := takeAll(c)
		if published := int64(shmconn.Published(c.(*shmconn.Conn))); n != published {
			t.Errorf("received %d bytes of %d published", n, published)
		}
		if err != io.EOF && !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("a visitor's connection ends with %v", err)
		}
	}
	first := accept(t, l)
	conns.Go(func() { serve(first) })
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { serve(c) })
		}
	}()
	v.kill()
	death := time.Now()
	l.Close() // ends the handshake that the death has cut off, too
	<-stopped
	conns.Wait()
	noticed(t, "a visitor's death", death)
}

// killHost kills a server while clients connect, talk and close.
func killHost(t *testing.T) {
	path := socketPath(t)
	v := startChild(t, "host", path)
	expect(t, v.out, "listening\n")
	var dead atomic.Bool
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() {
			for {
				c, err := shmconn.Dial("shm", path)
				if err == nil {
					err = exchange(c, "how are you?")
					c.Close()
				}
				var op *net.OpError
				switch {
				case err == nil:
				case !dead.Load():
					t.Errorf("before the server's death: %v", err)
					return
				case !errors.As(err, &op) && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF):
					t.Errorf("at the server's death: %T %v", err, err)
					return
				default:
					return
				}
			}
		})
	}
	time.Sleep(rand.N(2 * time.Millisecond))
	dead.Store(true)
	v.kill()
	death := time.Now()
	clients.Wait()
	noticed(t, "a server's death", death)
}
