package shmconn

import (
	"fmt"
	"net"
	"os"
	"time"

	"github.com/shmconn/shmconn/internal/doorbell"
	"github.com/shmconn/shmconn/internal/hangup"
	"github.com/shmconn/shmconn/memfd"
	"github.com/shmconn/shmconn/ring"
)

// minRingSize is the smallest ring of a connection. Smaller ones would save
// nothing, as memory comes in pages.
const minRingSize = 4096

// fileSize returns the size of the memory file of an end whose outgoing ring
// holds capacity bytes: what the ring needs, in whole pages. Both ends run on
// the same kernel and know the same page size.
func fileSize(capacity int) int64 {
	page := int64(os.Getpagesize())
	return (int64(ring.MemorySize(capacity)) + page - 1) / page * page
}

// unnamed is the address of a unix socket that is bound to none, as package
// net prints it.
var unnamed net.Addr = &net.UnixAddr{Name: "@", Net: "unix"}

// ends are what a connection is made of at one of its ends.
type ends struct {
	mine     []byte         // memory that we write
	theirs   []byte         // memory that the peer writes, read-only
	toPeer   int            // capacity of the ring in mine
	toUs     int            // capacity of the ring in theirs
	bell     *doorbell.Bell // our doorbell
	peerBell int            // the peer's doorbell
	files    bool           // we take files
	toFiles  bool           // the peer does
}

// discard releases all but the peer's doorbell when no connection comes of it.
func (e *ends) discard() {
	if e.mine != nil {
		memfd.Unmap(e.mine)
	}
	if e.theirs != nil {
		memfd.Unmap(e.theirs)
	}
	if e.bell != nil {
		e.bell.Close()
	}
}

// newConn makes a connection of its ends and the socket, and owns them unless
// it fails.
func newConn(sock *net.UnixConn, cred Credentials, e ends, local, far net.Addr) (_ *Conn, err error) {
	c := &Conn{
		sock:     sock,
		bell:     e.bell,
		local:    local,
		far:      far,
		cred:     cred,
		peerBell: e.peerBell,
		files:    newFiles(e),
	}
	if err := c.join(e, func() ringer { return doorbell.NewRinger(e.peerBell) }); err != nil {
		return nil, err
	}
	if c.watch, err = hangup.Start(sock, func() { c.interrupt(stHungUp) }); err != nil {
		return nil, err
	}
	return c, nil
}

// join makes the connection's rings, and what rings the peer's doorbell.
func (c *Conn) join(e ends, newRinger func() ringer) (err error) {
	c.mine, c.theirs = e.mine, e.theirs
	c.in.ringer, c.out.ringer, c.news = newRinger(), newRinger(), newRinger()
	c.in.wait.ready, c.out.wait.ready = c.announceReader, c.announceWriter
	mine, theirs := e.mine[:ring.MemorySize(e.toPeer)], e.theirs[:ring.MemorySize(e.toUs)]
	if c.in.ring, err = ring.NewConsumer(mine, theirs); err != nil {
		return err
	}
	c.out.ring, err = ring.NewProducer(mine, theirs)
	return err
}

// setSpinBudget is called before the connection is used.
func (c *Conn) setSpinBudget(d time.Duration) { c.in.wait.budget, c.out.wait.budget = d, d }

// checkRingSize reports a ring size that cannot be; 0 stands for a default.
func checkRingSize(size int) error {
	if size != 0 && (size < minRingSize || !ring.ValidCapacity(size)) {
		return fmt.Errorf("ring size %d is not a power of two between %d and %d", size, minRingSize, ring.MaxCapacity)
	}
	return nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		if fd >= 0 {
			closeFD(fd)
		}
	}
}
