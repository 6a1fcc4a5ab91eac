package shmconn

import (
	"errors"
	"fmt"
	"net"
	"os"
)

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

// SameUID is for [ListenConfig].Authorize: it allows processes of the user that
// this one runs as, and nobody else, not even root.
func SameUID(c Credentials) error {
	switch own := os.Geteuid(); {
	case int(c.UID) != own:
		return fmt.Errorf("client has uid %d, not %d", c.UID, own)
	case c.UID == overflowUID:
		// Our own user may be called that, but so is every stranger outside of
		// our user namespace.
		return fmt.Errorf("uid %d may be anybody outside of this user namespace", c.UID)
	}
	return nil
}

// overflowUID is what the kernel calls users that are not mapped, unless told
// otherwise (/proc/sys/kernel/overflowuid).
const overflowUID = 65534

// errNoCredentials is the reason for which a network cannot be used with
// ListenConfig.Authorize.
var errNoCredentials = fmt.Errorf("%w: no credentials for ListenConfig.Authorize", errors.ErrUnsupported)

// errUnauthorized is wrapped by the errors of clients that are turned away for
// who they are.
var errUnauthorized = errors.New("client is not authorized")

// authorize asks ListenConfig.Authorize, if there is one, about the client.
func (lc *ListenConfig) authorize(conn net.Conn) error {
	if lc.Authorize == nil {
		return nil
	}
	cred, err := Credentials{}, errNoCredentials
	if sock, ok := conn.(*net.UnixConn); ok {
		cred, err = peerCredentials(sock)
	}
	if err == nil {
		err = lc.Authorize(cred)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errUnauthorized, err)
	}
	return nil
}
