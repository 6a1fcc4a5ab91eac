package ring_test

import (
	"fmt"
	"io"

	"github.com/shmconn/shmconn/ring"
)

// connect returns the sending half of end A and the receiving half of end B.
func connect(capacity int) (*ring.Producer, *ring.Consumer) {
	a, b := make([]byte, ring.MemorySize(capacity)), make([]byte, ring.MemorySize(capacity))
	p, err := ring.NewProducer(a, b)
	if err != nil {
		panic(err)
	}
	c, err := ring.NewConsumer(b, a)
	if err != nil {
		panic(err)
	}
	return p, c
}

func Example() {
	p, c := connect(4096)

	if _, _, err := p.Write([]byte("hello, other end")); err != nil {
		panic(err)
	}
	p.CloseWrite()

	buf := make([]byte, 64)
	for {
		n, _, err := c.Read(buf)
		if err == io.EOF {
			break
		}
		fmt.Printf("%q\n", buf[:n])
	}
	// Output: "hello, other end"
}

// A message is built in place, and read in place, in two pieces where the
// ring wraps around.
func ExampleProducer_Reserve() {
	p, c := connect(64)
	p.Write(make([]byte, 60))
	c.Read(make([]byte, 59)) // one byte stays, so that the ring is not empty

	free, err := p.Writable(10)
	if err != nil {
		panic(err)
	}
	fmt.Println("free:", free)
	first, second := p.Reserve(10)
	n := copy(first, "0123456789")
	copy(second, "0123456789"[n:])
	p.Commit(10)

	c.Read(make([]byte, 1))
	readable, err := c.Readable()
	if err != nil {
		panic(err)
	}
	first, second = c.Peek(readable)
	fmt.Printf("%s + %s\n", first, second)
	c.Release(readable)
	// Output:
	// free: 63
	// 0123 + 456789
}

// The consumer sleeps on a channel here; between processes it would be an
// eventfd. Commit reports true only when the consumer has asked.
func ExampleConsumer_Announce() {
	p, c := connect(4096)
	bell := make(chan struct{}, 1)

	go func() {
		for _, word := range []string{"one ", "two ", "three"} {
			if _, wake, err := p.Write([]byte(word)); err != nil {
				panic(err)
			} else if wake {
				bell <- struct{}{}
			}
		}
		p.CloseWrite()
		bell <- struct{}{}
	}()

	buf := make([]byte, 64)
	for {
		n, _, err := c.Read(buf)
		if err == io.EOF {
			break
		}
		fmt.Print(string(buf[:n]))
		if n > 0 {
			continue
		}
		c.Announce()
		if n, err := c.Readable(); n == 0 && err == nil {
			<-bell
		}
	}
	// Output: one two three
}
