package shmconn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"syscall"
	"time"
)

// ErrLimit is wrapped by the error of a client that a server on network "shm" has
// no room for, at both ends. See [ListenConfig].MaxConns.
var ErrLimit = errors.New("limit of connections over shared memory reached")

// ListenConfig makes listeners. The zero value is ready for use. It must not be
// changed while a listener that it made is in use.
type ListenConfig struct {
	// NetListenConfig makes the underlying listener, and those that are not
	// local. Its Control function is called after ours.
	NetListenConfig net.ListenConfig

	// Mode is the permissions of the socket file. Zero means 0600: only
	// processes of this user, and root, can connect. The umask is not applied.
	// On systems other than Linux the umask alone decides.
	Mode fs.FileMode

	// RingSize is how many bytes each direction of a connection holds unless
	// the client asks for another number: a power of two from 4096 to 1 GiB.
	// It is address space; memory is used only as far as data was ever in
	// flight. Zero means 4 MiB, on 32-bit systems 256 KiB.
	RingSize int

	// MaxRingSize bounds every ring, whatever a client asks for, and RingSize
	// with it. Zero means RingSize.
	MaxRingSize int

	// SpinBudget is how long a Read or Write that has to wait looks at the
	// shared memory before it sleeps, if nobody else in this process or, as far
	// as can be seen, on this machine has use for the CPU. Zero means 250 us,
	// negative not at all. It concerns this end only.
	//
	// A peer's answer comes without a system call if it comes within that time:
	// a round trip takes 1 us then, and 10 to 40 us with two wake-ups. The price
	// is CPU time: up to the budget for each wait that is in vain, of which
	// fewer and fewer are tried the more there have been. Less than a wake-up takes,
	// some 20 us, gains nothing, as neither end is ever in time for the other.
	SpinBudget time.Duration

	// ReceiveFiles lets clients send files, for [Conn.ReceiveFile]. Otherwise
	// the server takes no descriptors from them, and the kernel refuses those
	// that they try to send (Linux 6.16).
	ReceiveFiles bool

	// HandshakeTimeout is how long a client may take to set up its
	// connection. Zero or less means 5 seconds.
	HandshakeTimeout time.Duration

	// MaxPending is how many connections may be in the handshake, or waiting
	// for Accept, at the same time. Beyond it, new clients displace the
	// slowest handshakes. Zero or less means 128.
	MaxPending int

	// Authorize, if not nil, decides on networks "unix" and "shm" who may
	// connect, such as [SameUID]. It gets the credentials of every client, also
	// of one that knows nothing of shared memory, before the client is told or
	// given anything. An error turns the client away: its socket is closed, and
	// OnError gets an error that wraps this one. It may be called from several
	// goroutines at once.
	//
	// An abstract address, "@name", can be connected to by every process in the
	// same network namespace, whoever it belongs to: it needs Authorize. A socket
	// file has its Mode. Other networks have no credentials, and Listen fails.
	Authorize func(Credentials) error

	// MaxConns is how many connections over shared memory there may be at the
	// same time, including those in the handshake, and MaxConnsPerUID how many
	// of clients with the same user ID. So their memory comes to no more than
	// MaxConns times twice MaxRingSize and a few pages, and that of one user's
	// to its part of it. A connection counts from the making of its memory until
	// it is closed. Beyond the limit, network "unix" uses the plain socket,
	// which this does not bound, and "shm" is an error that wraps [ErrLimit] at
	// both ends.
	//
	// Zero means 512, which is 4 GiB with rings of the default size if all of
	// them fill up, and half of MaxConns.
	MaxConns, MaxConnsPerUID int

	// OnError, if not nil, is told of each client whose handshake failed, and
	// why. It may be called from several goroutines at once and must not keep
	// or use the connection, except for its addresses.
	OnError func(c net.Conn, err error)

	// Logger, if not nil, gets a record of level Warn for each client that
	// OnError is told of, and for each that is served over the plain socket for
	// want of room for its memory. Clients can cause as many as they like.
	Logger *slog.Logger
}

const (
	defaultRingSize = 256 << 10 << (4 * (^uint(0) >> 63)) // 4 MiB on 64-bit systems
	defaultMaxConns = 512
)

func (lc *ListenConfig) ringSize() int {
	if lc.RingSize == 0 {
		return defaultRingSize
	}
	return lc.RingSize
}

func (lc *ListenConfig) maxRingSize() int {
	if lc.MaxRingSize == 0 {
		return lc.ringSize()
	}
	return lc.MaxRingSize
}

func (lc *ListenConfig) maxConns() (all, perUID int) {
	all, perUID = lc.MaxConns, lc.MaxConnsPerUID
	if all == 0 {
		all = defaultMaxConns
	}
	if perUID == 0 {
		perUID = all - all/2
	}
	return all, perUID
}

// check reports sizes and limits that cannot be.
func (lc *ListenConfig) check() error {
	err := errors.Join(checkRingSize(lc.RingSize), checkRingSize(lc.MaxRingSize))
	if lc.MaxConns < 0 || lc.MaxConnsPerUID < 0 {
		err = errors.Join(err, fmt.Errorf("limit of %d connections, %d for each user, is negative", lc.MaxConns, lc.MaxConnsPerUID))
	}
	return err
}

// Listen listens on address with the zero ListenConfig.
func Listen(network, address string) (net.Listener, error) {
	return new(ListenConfig).Listen(context.Background(), network, address)
}

// Listen announces on address. ctx matters only until it returns.
//
// With network "unix" clients that ask for it are served over shared memory by
// a *Conn, all others over a plain unix socket. With network "shm" there are
// only the former. Any other network is handed to package net unchanged, unless
// Authorize is set.
//
// For these two networks the listener is a *[Listener]. A client whose handshake
// fails is no error of Accept, but is reported to OnError.
//
// Once File or SyscallConn was called, another process may go on accepting from
// the socket after Close, but knows nothing of the clients that this one has
// accepted: Close leaves their handshakes alone then, and Accept returns what
// comes of them before it fails. The other process makes a listener of the
// socket by net.FileListener and NewListener; SetUnlinkOnClose(false) leaves it
// the socket file.
//
// The socket file is created with its final permissions and removed by Close,
// unless it has been replaced by another one meanwhile.
func (lc *ListenConfig) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	if network != "unix" && network != "shm" {
		if lc.Authorize != nil {
			return nil, &net.OpError{Op: "listen", Net: network, Err: errNoCredentials}
		}
		return lc.NetListenConfig.Listen(ctx, network, address)
	}
	l, err := lc.listenLocal(ctx, network == "shm", address)
	if err != nil {
		return nil, listenError(address, err)
	}
	return l, nil
}

func (lc *ListenConfig) listenLocal(ctx context.Context, strict bool, path string) (net.Listener, error) {
	if !supported && (strict || lc.Authorize != nil) {
		return nil, errors.ErrUnsupported
	}
	if err := errors.Join(checkPath(path), lc.check()); err != nil {
		return nil, err
	}
	abstract := path == "" || path[0] == '@' || path[0] == 0
	mode := lc.Mode
	if mode == 0 {
		mode = 0o600
	}
	nlc := lc.NetListenConfig
	nlc.Control = func(network, address string, raw syscall.RawConn) error {
		if !abstract {
			if err := setSocketMode(raw, mode); err != nil {
				return err
			}
		}
		if control := lc.NetListenConfig.Control; control != nil {
			return control(network, address, raw)
		}
		return nil
	}
	inner, err := nlc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	l := newListener(inner, lc, strict)
	if abstract {
		return l, nil
	}
	if err := l.own(inner.(*net.UnixListener), path, mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// NewListener returns a *[Listener] that serves the connections of inner, which it
// owns, as network "unix" does; connections that are not over unix sockets are
// passed on as they are, or refused if Authorize is set. lc may be nil;
// NewListener panics if its ring sizes or limits cannot be.
//
// It is for sockets that were inherited or activated. Others may have such a
// socket, too, so that its Close is that of a socket that File has shared; and
// it never removes the socket's file, but inner may.
func NewListener(inner net.Listener, lc *ListenConfig) net.Listener {
	if lc == nil {
		lc = new(ListenConfig)
	}
	if err := lc.check(); err != nil {
		panic("shmconn: NewListener: " + err.Error())
	}
	l := newListener(inner, lc, false)
	l.shared.Store(true)
	return l
}
