package shmconn

import (
	"net"

	"github.com/shmconn/shmconn/memfd"
	"github.com/shmconn/shmconn/ring"
)

// Close closes the connection. Blocked calls return with net.ErrClosed. What
// has been written stays readable by the peer, whose reads then end with EOF. It
// waits for a ReadFrom that is reading a regular file. A second Close fails with
// net.ErrClosed.
func (c *Conn) Close() error {
	if c.status.Or(stClosed)&stClosed != 0 {
		return c.opError("close", net.ErrClosed)
	}
	c.watch.Stop()
	c.bell.Close() // wakes those who sleep on it
	// Once no Write is under way, all that any has returned is before the end
	// that the peer sees. A reader need not be waited for: it may be handing
	// its bytes to somebody slow.
	c.out.mu.Lock()
	c.announce((*ring.Producer).CloseWrite, (*ring.Consumer).CloseRead)
	c.out.mu.Unlock()
	err := closeSocket(c.sock)
	c.status.Or(stReleasable)
	c.release()
	return c.opError("close", err)
}

// CloseRead shuts down the reading side: when what has arrived is read, Read
// returns io.EOF, and the peer's writes fail with EPIPE.
func (c *Conn) CloseRead() error {
	if err := c.usable(); err != nil {
		return c.opError("close", err)
	}
	c.interrupt(stReadShut)
	c.announce(nil, (*ring.Consumer).CloseRead)
	return nil
}

// CloseWrite shuts down the writing side: the peer reads what was written, then
// EOF. A Write that is blocked fails with EPIPE, as later ones do.
func (c *Conn) CloseWrite() error {
	if err := c.usable(); err != nil {
		return c.opError("close", err)
	}
	c.interrupt(stWriteShut)
	c.out.mu.Lock() // no byte may follow the announced end
	defer c.leave(&c.out.mu)
	c.announce((*ring.Producer).CloseWrite, nil)
	return nil
}

// announce publishes the end of one or both directions and wakes the peer.
func (c *Conn) announce(write func(*ring.Producer), read func(*ring.Consumer)) {
	c.life.Lock()
	defer c.life.Unlock()
	if c.mine == nil {
		return // closed meanwhile, which has announced both
	}
	if write != nil {
		write(c.out.ring)
	}
	if read != nil {
		read(c.in.ring)
	}
	c.wakePeer(c.news)
}

// condemn ends both directions after the peer has broken the rules, and lets
// it know.
func (c *Conn) condemn() {
	c.interrupt(stCorrupt)
	c.announce((*ring.Producer).CloseWrite, (*ring.Consumer).CloseRead)
}

// interrupt sets a status bit and wakes those of our own goroutines that it
// concerns. It does so through the deadlines of the bell, as the bell itself
// could be made to block by the peer.
func (c *Conn) interrupt(bit uint32) {
	c.status.Or(bit)
	c.dl.Lock()
	defer c.dl.Unlock()
	if bit&endsReading != 0 {
		c.bell.SetReadDeadline(longAgo)
	}
	if bit&endsWriting != 0 {
		c.bell.SetWriteDeadline(longAgo)
	}
	if bit == stCorrupt {
		c.sock.SetDeadline(longAgo)
	}
}

// usable returns net.ErrClosed after Close.
func (c *Conn) usable() error {
	if c.status.Load()&stClosed != 0 {
		return net.ErrClosed
	}
	return nil
}

// leave unlocks a direction. After Close, the last to leave releases the memory.
func (c *Conn) leave(mu *mutex) {
	mu.Unlock()
	// After the unlock: either this load sees the bit, or release, which
	// follows the setting of the bit, finds the lock free.
	if c.status.Load()&stReleasable != 0 {
		c.release()
	}
}

// release unmaps the memory and closes the peer's doorbell, unless a call is
// still using them; that call will release when it leaves.
func (c *Conn) release() {
	c.life.Lock()
	defer c.life.Unlock()
	if c.mine == nil || !c.in.mu.TryLock() {
		return
	}
	defer c.in.mu.Unlock()
	if !c.out.mu.TryLock() {
		return
	}
	defer c.out.mu.Unlock()
	c.in.total, c.out.total = c.in.ring.Consumed(), c.out.ring.Produced()
	memfd.Unmap(c.mine)
	memfd.Unmap(c.theirs)
	c.mine, c.theirs = nil, nil
	for _, r := range []ringer{c.in.ringer, c.out.ringer, c.news} {
		r.Close()
	}
	closeFD(c.peerBell)
	c.account.close(c, c.in.total, c.out.total)
}
