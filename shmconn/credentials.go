package shmconn

// Credentials identify the process at the other end, as the kernel recorded it
// when the connection was made: for a server, whoever called connect(2); for a
// client, whoever called listen(2) (SO_PEERCRED in unix(7)). The process may
// have passed the connection on or ended since, and its PID may be in use by
// another one.
type Credentials struct {
	PID int32  // 0 when the process is in a PID namespace that is not visible
	UID uint32 // effective user ID, 65534 when not mapped in this user namespace
	GID uint32 // effective group ID, likewise
}

// PeerCredentials returns who is at the other end. It works after Close too.
func (c *Conn) PeerCredentials() Credentials { return c.cred }
