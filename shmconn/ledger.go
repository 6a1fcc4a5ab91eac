package shmconn

import (
	"maps"
	"slices"
	"sync"
)

// ledger is what a listener knows of its connections over shared memory.
type ledger struct {
	mu            sync.Mutex // guards what follows; taken by those who hold Conn.life, never the other way round
	conns         map[*Conn]struct{}
	memory        int64  // bytes, of conns and of what is in the handshake
	read, written uint64 // by connections that are in conns no more
}

// An account is what the memory of one connection takes of its listener's. It
// is opened before the memory is made and closed once it is released.
type account struct {
	ledger *ledger
	bytes  int64
}

// account opens an account of so many bytes.
func (l *ledger) account(bytes int64) *account {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.memory += bytes
	return &account{l, bytes}
}

// connected makes a the account of c.
func (a *account) connected(c *Conn) {
	c.account = a
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	if a.ledger.conns == nil {
		a.ledger.conns = make(map[*Conn]struct{})
	}
	a.ledger.conns[c] = struct{}{}
}

// close closes the account of c, which has carried so many bytes, or one that no
// connection has come of. A client's connections have none.
func (a *account) close(c *Conn, read, written uint64) {
	if a == nil {
		return
	}
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	delete(a.ledger.conns, c)
	a.ledger.memory -= a.bytes
	a.ledger.read += read
	a.ledger.written += written
}

// open returns the open connections.
func (l *ledger) open() []*Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.conns))
}

// fill sets the counters of s that the ledger has.
func (l *ledger) fill(s *ListenerStats) {
	l.mu.Lock()
	s.Conns, s.Memory = len(l.conns), l.memory
	s.BytesRead, s.BytesWritten = l.read, l.written
	open := slices.Collect(maps.Keys(l.conns))
	l.mu.Unlock()
	// Each is in the sums or in open, whether or not it is closed meanwhile.
	for _, c := range open {
		read, written := c.carried()
		s.BytesRead += read
		s.BytesWritten += written
	}
}
