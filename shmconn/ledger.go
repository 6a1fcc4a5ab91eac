package shmconn

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// ledger is what a listener knows of its connections over shared memory, and
// what it allows.
type ledger struct {
	max, maxPerUID int // accounts

	mu            sync.Mutex // guards what follows; taken by those who hold Conn.life, never the other way round
	accounts      int
	users         map[uint32]int // accounts by user ID, none of them 0
	memory        int64          // bytes, of all accounts
	conns         map[*Conn]struct{}
	limited       uint64 // accounts that were denied
	read, written uint64 // by connections that are in conns no more
}

func newLedger(max, maxPerUID int) *ledger {
	return &ledger{max: max, maxPerUID: maxPerUID, users: make(map[uint32]int), conns: make(map[*Conn]struct{})}
}

// An account is what the memory of one connection takes of its listener's. It
// is opened before the memory is made and closed once it is released.
type account struct {
	ledger *ledger
	uid    uint32
	bytes  int64
}

// account opens an account for a client's connection of so many bytes. The error
// wraps ErrLimit.
func (l *ledger) account(uid uint32, bytes int64) (*account, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.accounts >= l.max:
		l.limited++
		return nil, fmt.Errorf("%w: %d, see ListenConfig.MaxConns", ErrLimit, l.max)
	case l.users[uid] >= l.maxPerUID:
		l.limited++
		return nil, fmt.Errorf("%w: %d of uid %d, see ListenConfig.MaxConnsPerUID", ErrLimit, l.maxPerUID, uid)
	}
	l.accounts++
	l.users[uid]++
	l.memory += bytes
	return &account{l, uid, bytes}, nil
}

// connected makes a the account of c.
func (a *account) connected(c *Conn) {
	c.account = a
	a.ledger.mu.Lock()
	defer a.ledger.mu.Unlock()
	a.ledger.conns[c] = struct{}{}
}

// close closes the account of c, which has carried so many bytes, or one that no
// connection has come of. A client's connections have none.
func (a *account) close(c *Conn, read, written uint64) {
	if a == nil {
		return
	}
	l := a.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accounts--
	if l.users[a.uid]--; l.users[a.uid] == 0 {
		delete(l.users, a.uid)
	}
	l.memory -= a.bytes
	delete(l.conns, c)
	l.read += read
	l.written += written
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
	s.Limited, s.Conns, s.Memory = l.limited, len(l.conns), l.memory
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
