package shmconn

import (
	"encoding/binary"
	"time"
)

// CloseSocket is what closes the socket of a connection.
var CloseSocket = closeSocket

// Unblocked keeps what closes descriptors from blocking for long.
var Unblocked = unblocked

// Published returns how many bytes the peer of c has published, as its memory
// says, also when it is dead. c must not be closed.
func Published(c *Conn) uint64 { return binary.NativeEndian.Uint64(c.theirs) }

// TryReadBareAhead is what reads an accept that a file may follow.
var TryReadBareAhead = tryReadBareAhead

// SpinBudgets returns how long c's two directions spin.
func SpinBudgets(c *Conn) (in, out time.Duration) { return c.in.wait.budget, c.out.wait.budget }
