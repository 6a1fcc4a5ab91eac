package shmconn

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/shmconn/shmconn/internal/race"
	"github.com/shmconn/shmconn/ring"
)

// ErrCorrupt is wrapped by the errors of a connection whose peer has broken the
// rules of the shared memory. Both directions are dead; only Close is left.
var ErrCorrupt = ring.ErrCorrupt

// Conn is a stream connection to another process over shared memory. It
// behaves as a *net.UnixConn does, down to the errors, with the differences
// that the package documentation lists. One is an addition: when the peer's
// process has died without closing, Read returns an error wrapping
// syscall.ECONNRESET after everything that had been sent.
//
// All methods may be called from several goroutines at once. One Read and one
// Write proceed at a time, others wait their turn, so that the bytes of one
// Write are never interleaved with those of another. A Conn holds three
// descriptors and two mappings until Close.
type Conn struct {
	sock  *net.UnixConn // carries only files after the handshake; its hang-up tells of a dead peer
	files files
	watch interface{ Stop() } // a *hangup.Watch
	bell  bell                // rung by the peer when there is data, space or news
	local net.Addr
	far   net.Addr
	cred  Credentials

	account *account // of a server's connection

	// status holds the facts that end one or both directions. Bits are set
	// and never cleared; whoever sets one then interrupts the goroutines that
	// it concerns. Blocked calls look at it before they sleep and after they
	// wake, so a bit is never overlooked.
	status flags

	in  inbound
	_   [64]byte // the two directions are busy on different CPUs
	out outbound

	// dl orders changes of the bell's and the socket's deadlines: once a
	// direction has been interrupted, its deadline stays in the past, unless a
	// reader that was roused takes it off, who looks at the status next.
	dl     mutex
	dozing bool // a reader may be roused; guarded by dl
	roused bool // it has been, by its bell's deadline; guarded by dl

	// life guards the memory against unmapping for those who use it without
	// holding a direction: the announcements of closing. Whoever needs both
	// locks a direction first; release only tries the directions' locks.
	life     mutex
	news     ringer // rings for announcements
	mine     []byte // our memory, nil once unmapped
	theirs   []byte // the peer's, read-only
	peerBell int    // the peer's doorbell
}

// A bell is a *doorbell.Bell, and a ringer a *doorbell.Ringer, but in the tests
// that explore schedules.
type bell interface {
	WaitRead(ready func(uintptr) bool) error
	WaitWrite(ready func(uintptr) bool) error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
	Observe(rung func()) error
	Close()
}

type ringer interface {
	Ring() error
	Close()
}

// inbound is the direction that is read. Its mutex is held by the one call
// that consumes, also while that sleeps.
type inbound struct {
	mu       mutex
	ring     *ring.Consumer
	ringer   ringer
	streak   streak
	observed bool // those who yield look at the bell
	sleeper
}

// outbound is the direction that is written.
type outbound struct {
	mu     mutex
	ring   *ring.Producer
	ringer ringer
	sleeper
}

var (
	_ net.Conn      = (*Conn)(nil)
	_ io.ReaderFrom = (*Conn)(nil)
	_ io.WriterTo   = (*Conn)(nil)
)

// The bits of Conn.status.
//
//	bit          set by              meaning for Read            for Write
//	stClosed     Close               ErrClosed                   ErrClosed
//	stReleasable Close, later        the last call out unmaps
//	stCorrupt    Read, Write         ErrCorrupt                  ErrCorrupt
//	stHungUp     the socket's watch  ECONNRESET when drained     EPIPE
//	stReadShut   CloseRead           EOF when drained            -
//	stWriteShut  CloseWrite          -                           EPIPE
const (
	stClosed = 1 << iota
	stReleasable
	stCorrupt
	stHungUp
	stReadShut
	stWriteShut

	endsReading = stClosed | stCorrupt | stHungUp | stReadShut
	endsWriting = stClosed | stCorrupt | stHungUp | stWriteShut
)

// The pieces that reads and writes are copied in. A copy is a single
// uninterruptible move, and longer ones would hold up the garbage collector.
//
// The first ones are small, so that the peer can copy the beginning of a large
// write while its end is still being produced (round trip of 64 KiB: 11 us in
// one piece, 9.7 in pieces of 16 KiB, 9.6 of 32). Once much is on its way, each
// hand-over costs more than it gains (writes of 1 MiB in a stream: 55 us in
// pieces of 16 KiB, 45 of 32, 43 of 64).
const (
	minPiece = 16 << 10
	maxPiece = 64 << 10
)

// piece returns what of b, of which n bytes are done, is copied next.
func piece(b []byte, n int) []byte {
	return b[n:min(len(b), n+min(max(n, minPiece), maxPiece))]
}

// Read reads data from the connection. It returns what is there, at least one
// byte, and waits only when there is nothing. The error is io.EOF when the peer
// has closed or half-closed, or after CloseRead, and everything is read;
// otherwise a *net.OpError
// wrapping os.ErrDeadlineExceeded, net.ErrClosed, syscall.ECONNRESET or
// ErrCorrupt.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.read(b)
	if err != nil {
		return n, c.opError("read", err)
	}
	return n, nil
}

func (c *Conn) read(b []byte) (n int, err error) {
	c.in.mu.Lock()
	defer c.leave(&c.in.mu)
	if len(b) == 0 {
		return 0, c.usable()
	}
	c.gather()
	// net/http watches for a disconnect by a read of one byte, whose answer
	// nobody is waiting for: spinning for it would be in vain.
	if _, err := c.awaitData(len(b) > 1); err != nil {
		return 0, err
	}
	for n < len(b) {
		p := piece(b, n)
		k, wake, err := c.in.ring.Read(p)
		n += k
		c.consumed(wake)
		if k < len(p) || err != nil {
			break // an error is met again, and returned, by the next Read
		}
	}
	c.noteRead(n)
	race.Acquire()
	return n, nil
}

// consumed wakes the producer if the ring has released what it waits for.
// c.in.mu is held.
func (c *Conn) consumed(wake bool) {
	if wake {
		c.in.wakesSent.Add(1)
		c.wakePeer(c.in.ringer)
	}
}

// awaitData returns how many bytes can be read, waiting until there are some.
// c.in.mu is held.
func (c *Conn) awaitData(spin bool) (int, error) {
	for {
		// The status, which may say that nothing will follow, before the ring,
		// which may hold what came before that.
		status := c.status.Load()
		if status&stClosed != 0 {
			return 0, net.ErrClosed
		}
		if c.in.wait.deadline.passed() {
			return 0, os.ErrDeadlineExceeded
		}
		if status&stCorrupt != 0 {
			return 0, ErrCorrupt
		}
		n, err := c.in.ring.Readable()
		switch {
		case n > 0:
			return n, nil
		case err == ring.ErrCorrupt:
			c.condemn()
			return 0, err
		case err != nil:
			return 0, c.ended(err) // io.EOF
		case status&stReadShut != 0:
			return 0, io.EOF
		case status&stHungUp != 0:
			return 0, syscall.ECONNRESET
		}
		if err := c.parkReader(spin); err != nil {
			return 0, err
		}
	}
}

// Write writes all of b, waiting for space as needed. When it returns early, n
// says how many bytes were sent; the error is a *net.OpError wrapping
// os.ErrDeadlineExceeded, net.ErrClosed, syscall.EPIPE when the peer is gone
// or has stopped reading or after CloseWrite, or ErrCorrupt.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.write(b)
	if err != nil {
		return n, c.opError("write", err)
	}
	return n, nil
}

func (c *Conn) write(b []byte) (n int, err error) {
	c.out.mu.Lock()
	defer c.leave(&c.out.mu)
	race.Release()
	for {
		p := piece(b, n)
		free, err := c.awaitSpace(len(p))
		if err != nil || len(p) == 0 { // nothing to write, if that can be done
			return n, err
		}
		p = p[:min(len(p), free)]
		c.produced(c.out.ring.Put(p))
		if n += len(p); n == len(b) {
			return n, nil
		}
	}
}

// produced wakes the consumer if the ring has published what it waits for.
// c.out.mu is held.
func (c *Conn) produced(wake bool) {
	if wake {
		c.out.wakesSent.Add(1)
		c.wakePeer(c.out.ringer)
	}
}

// awaitSpace returns how many bytes can be written without waiting, waiting
// until there is space when need is not 0. c.out.mu is held.
func (c *Conn) awaitSpace(need int) (int, error) {
	for {
		status := c.status.Load()
		if status&stClosed != 0 {
			return 0, net.ErrClosed
		}
		if c.out.wait.deadline.passed() {
			return 0, os.ErrDeadlineExceeded
		}
		if status&endsWriting != 0 {
			return 0, statusError(status)
		}
		free, err := c.out.ring.Writable(max(need, 1))
		switch {
		case err == ring.ErrCorrupt:
			c.condemn()
			return 0, err
		case err != nil:
			return 0, c.ended(syscall.EPIPE)
		case free > 0 || need == 0:
			return free, nil
		}
		if err := c.parkWriter(); err != nil {
			return 0, err
		}
	}
}

// ended returns err, with which the peer has ended a direction, unless it has
// done so in answer to our own Close.
func (c *Conn) ended(err error) error {
	if closed := c.usable(); closed != nil {
		return closed
	}
	return err
}

// wakePeer rings the peer's doorbell. c.in.mu, c.out.mu or c.life is held, which keeps the
// peer's doorbell open.
func (c *Conn) wakePeer(r ringer) {
	if r.Ring() != nil { // doorbell.ErrBlocked; nothing else can happen to an eventfd
		c.interrupt(stCorrupt)
	}
}

// LocalAddr returns the local address, a *net.UnixAddr; "@" when unnamed.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the peer's address, a *net.UnixAddr; "@" when unnamed.
func (c *Conn) RemoteAddr() net.Addr { return c.far }
