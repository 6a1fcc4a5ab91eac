package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/shmconn/shmconn/shmconn"
)

// stream is what all connections that are forwarded can do.
type stream interface {
	net.Conn
	CloseRead() error
	CloseWrite() error
}

var (
	_ stream = (*shmconn.Conn)(nil)
	_ stream = (*net.UnixConn)(nil)
	_ stream = (*net.TCPConn)(nil)
)

// traffic counts bytes in both directions.
type traffic struct{ there, back uint64 }

func (t *traffic) add(u traffic) {
	t.there += u.there
	t.back += u.back
}

// relay forwards between two connections.
type relay struct {
	near, far   stream
	there, back *flow
}

// newRelay returns a relay between the accepted and the dialled connection, both of which it owns.
func newRelay(near, far net.Conn) *relay {
	r := &relay{near: near.(stream), far: far.(stream)}
	r.there, r.back = newFlow(r.far, r.near), newFlow(r.near, r.far)
	return r
}

// run forwards until both directions have ended.
func (r *relay) run() {
	var wg sync.WaitGroup
	for _, f := range []*flow{r.there, r.back} {
		wg.Go(func() {
			if !f.run() {
				r.close()
			}
		})
	}
	wg.Wait()
	r.close()
}

// close ends both directions, and may be called more than once.
func (r *relay) close() {
	r.near.Close()
	r.far.Close()
}

func (r *relay) traffic() traffic { return traffic{r.there.carried(), r.back.carried()} }

// flow is one direction of a relay.
type flow struct {
	dst, src stream
	carried  func() uint64 // how many bytes were forwarded so far
	copy     func() (int64, error)
}

// newFlow has the ends of shared memory do the copying and the counting: they take bytes from and to
// the rings themselves where they can, which a wrapper around either end would prevent. (io.Copy would
// have a socket choose, which knows nothing of them.)
func newFlow(dst, src stream) *flow {
	f := &flow{dst: dst, src: src}
	if c, ok := src.(*shmconn.Conn); ok {
		f.carried = func() uint64 { return c.Stats().BytesRead }
		f.copy = func() (int64, error) { return c.WriteTo(dst) }
	} else if c, ok := dst.(*shmconn.Conn); ok {
		f.carried = func() uint64 { return c.Stats().BytesWritten }
		f.copy = func() (int64, error) { return c.ReadFrom(src) }
	} else {
		w := &countingWriter{w: dst}
		f.carried = w.n.Load
		f.copy = func() (int64, error) { return io.Copy(w, struct{ io.Reader }{src}) }
	}
	return f
}

// countingWriter counts what is written to w.
type countingWriter struct {
	w io.Writer
	n atomic.Uint64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n.Add(uint64(n))
	return n, err
}

// run forwards from src to dst until either ends, and passes the end on: what dst's process sees of
// a process that has died is what it would see of it over a socket, the bytes and the end. It reports
// false if src has failed, and so need not be told anything any more.
func (f *flow) run() bool {
	_, err := f.copy()
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "read" {
		return false
	}
	f.dst.CloseWrite()
	if err != nil {
		// dst takes no more, but what it has sent, such as the reason, may still be on its way. Closing
		// a socket with unread bytes would take that back.
		f.src.CloseRead()
		io.Copy(io.Discard, f.src)
	}
	return true
}
