package ring

import (
	"io"
	"testing"
)

func TestCloseWrite(t *testing.T) {
	for _, start := range starts {
		e := newEnds(t, 64, start)
		data := stream(make([]byte, 40), start)
		e.write(t, data[:30])
		e.readable(t, 30, nil)
		e.write(t, data[30:]) // published, not yet known to the consumer
		e.p.CloseWrite()
		e.read(t, data[:30])
		e.readable(t, 10, nil)
		e.read(t, data[30:])
		for range 3 {
			e.readable(t, 0, io.EOF)
			if n, wake, err := e.c.Read(make([]byte, 1)); n != 0 || wake || err != io.EOF {
				t.Fatalf("Read after the end = %d, %v, %v", n, wake, err)
			}
		}
		e.p.CloseWrite()
		e.readable(t, 0, io.EOF)
	}
}

func TestCloseRead(t *testing.T) {
	e := newEnds(t, 64, 0)
	e.write(t, []byte("abc"))
	e.c.CloseRead()
	e.writable(t, 0, 0, ErrReadClosed)
	if n, wake, err := e.p.Write([]byte("d")); n != 0 || wake || err != ErrReadClosed {
		t.Fatalf("Write to a closed consumer = %d, %v, %v", n, wake, err)
	}
	if e.p.Produced() != 3 {
		t.Fatal("a refused Write produced something")
	}
	e.read(t, []byte("abc")) // what came before is still there for the taking
	e.c.CloseRead()
	e.writable(t, 0, 0, ErrReadClosed)
}

// The closes of the two ends do not touch each other, in either order.
func TestCloseBoth(t *testing.T) {
	for _, readFirst := range []bool{false, true} {
		e := newEnds(t, 64, 0)
		e.write(t, []byte("abc"))
		if readFirst {
			e.c.CloseRead()
			e.p.CloseWrite()
		} else {
			e.p.CloseWrite()
			e.c.CloseRead()
		}
		e.writable(t, 1, 0, ErrReadClosed)
		e.read(t, []byte("abc"))
		e.readable(t, 0, io.EOF)
	}
}

// Each direction of a connection closes by itself.
func TestCloseOneDirection(t *testing.T) {
	a, b := make([]byte, MemorySize(64)), make([]byte, MemorySize(64))
	ab, ba := endsOver(t, a, b, 0), endsOver(t, b, a, 0)
	ab.p.CloseWrite()
	ab.readable(t, 0, io.EOF)
	ba.write(t, []byte("still"))
	ba.read(t, []byte("still"))
	ba.c.CloseRead()
	ba.writable(t, 1, 0, ErrReadClosed)
	ab.writable(t, 1, 64, nil)
}

// A hostile end that takes back what it has said about the end is not heard:
// whoever was told of it may have acted upon it.
func TestEndIsFinal(t *testing.T) {
	e := newEnds(t, 64, 0)
	e.p.CloseWrite()
	e.readable(t, 0, io.EOF)
	e.c.peer.sendClosed.store(0)
	e.p.Commit(1)
	e.readable(t, 0, io.EOF)

	e = newEnds(t, 64, 0)
	e.c.CloseRead()
	e.writable(t, 1, 0, ErrReadClosed)
	e.p.peer.recvClosed.store(0)
	e.writable(t, 1, 0, ErrReadClosed)
}
