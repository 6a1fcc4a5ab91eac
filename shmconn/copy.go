package shmconn

import (
	"errors"
	"io"
	"os"
	"sync"

	"github.com/shmconn/shmconn/internal/race"
)

// copySize bounds what one call of a reader or a writer is given: mostly a system
// call, whose cost is spread over that many bytes.
const copySize = 64 << 10

// copyBuffers hold the bytes on their way to and from readers and writers that
// may not touch the ring.
var copyBuffers = sync.Pool{New: func() any { return new([copySize]byte) }}

// WriteTo writes to w what arrives on the connection, until EOF, which is no
// error. A regular file, or another Conn that has room, is given the bytes in
// the ring itself. Any other writer is given a copy: it may block, while other
// calls must not wait for it, and the peer can change the ring while it looks.
func (c *Conn) WriteTo(w io.Writer) (n int64, err error) {
	direct := directWriter(w)
	for {
		var k int
		err := errNoRoom
		if direct != nil {
			k, err = c.writePiece(direct)
			n += int64(k)
		}
		if err == errNoRoom {
			k, err = c.writeCopy(w)
			n += int64(k)
		}
		if err != nil {
			return n, c.endOfCopy("read", err)
		}
	}
}

// writeCopy gives a copy of what has arrived to w.
func (c *Conn) writeCopy(w io.Writer) (int, error) {
	if err := c.awaitRead(); err != nil { // no buffer while there is nothing
		return 0, err
	}
	buf := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buf)
	k, err := c.read(buf[:])
	if err != nil {
		return 0, err
	}
	n, err := w.Write(buf[:k])
	if err == nil && n < k {
		err = io.ErrShortWrite
	}
	if err != nil {
		return n, farError{err}
	}
	return n, nil
}

// awaitRead returns when there is something to read.
func (c *Conn) awaitRead() error {
	c.in.mu.Lock()
	defer c.leave(&c.in.mu)
	c.gather()
	_, err := c.awaitData(true)
	return err
}

// errNoRoom reports that a direct write would have had to wait.
var errNoRoom = errors.New("no room")

// directWriter returns a function that writes to w without waiting for anybody
// and that reads each byte once, or nil if w has none. The function returns
// errNoRoom rather than wait.
func directWriter(w io.Writer) func([]byte) (int, error) {
	switch w := w.(type) {
	case *Conn:
		return w.tryWrite
	case *os.File:
		if isRegular(w) {
			return w.Write
		}
	}
	return nil
}

// tryWrite writes what there is room for.
func (c *Conn) tryWrite(b []byte) (int, error) {
	if !c.out.mu.TryLock() {
		return 0, errNoRoom
	}
	defer c.leave(&c.out.mu)
	free, err := c.awaitSpace(0)
	if err != nil {
		return 0, c.opError("write", err)
	}
	if free == 0 {
		return 0, errNoRoom
	}
	race.Release()
	n, wake, _ := c.out.ring.Write(piece(b, 0))
	c.produced(wake)
	return n, nil
}

// farError is an error of the other party of a copy, which is returned as it is.
type farError struct{ error }

// writePiece gives the bytes that lie together at the front of the ring to
// write. It holds the direction, and with it the memory, meanwhile.
func (c *Conn) writePiece(write func([]byte) (int, error)) (int, error) {
	c.in.mu.Lock()
	defer c.leave(&c.in.mu)
	c.gather()
	n, err := c.awaitData(true)
	if err != nil {
		return 0, err
	}
	race.Acquire()
	first, _ := c.in.ring.Peek(min(n, copySize))
	n, err = write(first)
	c.consumed(c.in.ring.Release(n))
	if n > 0 {
		c.noteRead(n)
	}
	if err != nil && err != errNoRoom {
		return n, farError{err}
	}
	return n, err
}

// ReadFrom writes what r yields to the connection, until EOF, which is no
// error. A regular file is read into the ring itself, during which Write and
// Close wait for its file system; anything else goes through a buffer, because
// a reader may block while other calls of Write must not wait for it.
func (c *Conn) ReadFrom(r io.Reader) (n int64, err error) {
	file, limit := regularFile(r)
	for {
		var k int
		err := errNoRoom
		if file != nil {
			k, err = c.readPiece(file, limit)
			n += int64(k)
		}
		if err == errNoRoom {
			k, err = c.readCopy(r)
			n += int64(k)
		}
		if err != nil {
			return n, c.endOfCopy("write", err)
		}
	}
}

// readCopy writes a copy of what r yields.
func (c *Conn) readCopy(r io.Reader) (n int, err error) {
	buf := copyBuffers.Get().(*[copySize]byte)
	defer copyBuffers.Put(buf)
	k, readErr := r.Read(buf[:])
	if k > 0 {
		if n, err = c.write(buf[:k]); err != nil {
			return n, err
		}
	}
	return n, farOrEOF(readErr)
}

// regularFile returns the regular file that r reads, whose reads wait for its
// file system at most, and the limit that r sets, if any.
func regularFile(r io.Reader) (*os.File, *io.LimitedReader) {
	limit, ok := r.(*io.LimitedReader)
	if ok {
		r = limit.R
	}
	if file, ok := r.(*os.File); ok && isRegular(file) {
		return file, limit
	}
	return nil, nil
}

func isRegular(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode().IsRegular()
}

// readPiece reads file, up to limit if that is not nil, into the space that
// lies together at the ring's end. The error is errNoRoom if there is none, as
// it is not worth waiting for if the file has ended.
func (c *Conn) readPiece(file *os.File, limit *io.LimitedReader) (int, error) {
	c.out.mu.Lock()
	defer c.leave(&c.out.mu)
	free, err := c.awaitSpace(0)
	if err != nil {
		return 0, err
	}
	if free == 0 {
		return 0, errNoRoom
	}
	// The kernel does this copy, which holds up no garbage collection: longer
	// pieces save system calls, shorter ones let the peer begin earlier.
	size := min(free, 4*copySize)
	if limit != nil {
		if limit.N <= 0 {
			return 0, io.EOF
		}
		size = int(min(int64(size), limit.N))
	}
	first, _ := c.out.ring.Reserve(size)
	n, err := file.Read(first)
	if limit != nil {
		limit.N -= int64(n)
	}
	race.Release()
	c.produced(c.out.ring.Commit(n))
	return n, farOrEOF(err)
}

func farOrEOF(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return farError{err}
}

// endOfCopy returns the error of a copy that err has ended.
func (c *Conn) endOfCopy(op string, err error) error {
	var far farError
	switch {
	case err == io.EOF:
		return nil
	case errors.As(err, &far):
		return far.error
	}
	return c.opError(op, err)
}
