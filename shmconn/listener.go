package shmconn

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shmconn/shmconn/listener"
)

// Listener is the listener of networks "unix" and "shm". It is what
// [ListenConfig.Listen] and [NewListener] return as a net.Listener. All methods
// may be called from several goroutines at once.
type Listener struct {
	lc       *ListenConfig
	strict   bool // network "shm"
	inner    net.Listener
	upgraded *listener.Listener
	shared   atomic.Bool // somebody else may have inner's socket
	ledger   *ledger
	accepted struct{ shared, plain atomic.Uint64 } // by the application
	// Each client whose handshake has failed is counted in one of these, unless
	// it was displaced.
	refused, failures atomic.Uint64

	path   string      // of the socket file that Close removes, or empty
	file   fs.FileInfo // which file that is
	keep   atomic.Bool // Close does not remove it after all
	remove sync.Once
}

func newListener(inner net.Listener, lc *ListenConfig, strict bool) *Listener {
	l := &Listener{lc: lc, strict: strict, inner: inner, ledger: newLedger(lc.maxConns())}
	// Begins to accept, and so to use l.
	l.upgraded = listener.New(inner, l.upgrade, listener.Config{
		Timeout:    lc.HandshakeTimeout,
		MaxPending: lc.MaxPending,
		OnError:    l.failed,
	})
	return l
}

// failed is told of each client whose handshake has failed, or was displaced.
func (l *Listener) failed(conn net.Conn, err error) {
	switch {
	case errors.Is(err, listener.ErrEvicted):
	case errors.Is(err, errUnauthorized), errors.Is(err, ErrLimit):
		l.refused.Add(1)
	default:
		l.failures.Add(1)
	}
	l.log(conn, "client refused", err)
	if sock, ok := conn.(*net.UnixConn); ok {
		// Before package listener does so, in one of its places. The client need
		// not even speak the protocol to have it close something that blocks.
		closeSocket(sock)
	}
	if l.lc.OnError != nil {
		l.lc.OnError(conn, err)
	}
}

// log tells ListenConfig.Logger, if there is one, of a client.
func (l *Listener) log(conn net.Conn, what string, err error) {
	if l.lc.Logger == nil {
		return
	}
	attrs := []slog.Attr{slog.Any("error", err), slog.String("listener", l.Addr().String())}
	if sock, ok := conn.(*net.UnixConn); ok {
		if cred, err := peerCredentials(sock); err == nil {
			attrs = append(attrs, slog.Int("pid", int(cred.PID)), slog.Uint64("uid", uint64(cred.UID)), slog.Uint64("gid", uint64(cred.GID)))
		}
	}
	l.lc.Logger.LogAttrs(context.Background(), slog.LevelWarn, what, attrs...)
}

// Accept waits for the next connection, which is a *Conn if it is over shared
// memory. A client whose handshake fails is no error. The error is that of
// accept(2), which can be temporary, or a *net.OpError that wraps net.ErrClosed or
// os.ErrDeadlineExceeded.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.upgraded.Accept()
	if err != nil {
		return nil, err
	}
	if _, ok := c.(*Conn); ok {
		l.accepted.shared.Add(1)
	} else {
		l.accepted.plain.Add(1)
	}
	return c, nil
}

// Addr returns the address of the socket, a *net.UnixAddr.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// SetDeadline sets the time after which Accept fails with
// os.ErrDeadlineExceeded. The zero time means never. Handshakes under way are
// not affected.
func (l *Listener) SetDeadline(t time.Time) error { return l.upgraded.SetDeadline(t) }

// Conns yields the connections over shared memory that are open, in no
// particular order, those that wait for Accept included. It is for inspection,
// by [Conn.Stats] and [Conn.PeerCredentials]; a connection may be closed by the
// time that it is looked at.
func (l *Listener) Conns() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		for _, c := range l.ledger.open() {
			if !yield(c) {
				return
			}
		}
	}
}

// ListenerStats are counters of one listener since it was made.
type ListenerStats struct {
	Accepted uint64 // clients that have connected
	Shared   uint64 // connections over shared memory that Accept has returned
	Plain    uint64 // connections over the plain socket that Accept has returned
	Refused  uint64 // clients that Authorize or, on network "shm", a limit has turned away
	Failed   uint64 // clients whose handshake has failed otherwise, but for Evicted
	Evicted  uint64 // clients displaced by newer ones, see ListenConfig.MaxPending
	Pending  int    // handshakes under way
	Ready    int    // connections that wait for Accept

	// Limited is how many clients ListenConfig.MaxConns or MaxConnsPerUID has
	// denied shared memory; on network "unix" they were left the plain socket.
	Limited uint64

	// What follows is about the connections over shared memory. One is open
	// from the end of its handshake until it has been closed and the last of
	// the calls that were using its memory has returned.

	Conns        int    // open connections
	Memory       int64  // bytes that the memory files of these and of the handshakes under way can come to
	BytesRead    uint64 // payload received and read, by closed connections too
	BytesWritten uint64 // payload accepted by Write, by closed connections too
}

// Stats returns the listener's counters, also after Close. They are read one by
// one, not as of one moment. It costs as much as a call of [Conn.Stats] for each
// open connection, and those who use them nothing.
func (l *Listener) Stats() ListenerStats {
	upgrades := l.upgraded.Stats()
	s := ListenerStats{
		Accepted: upgrades.Accepted,
		Shared:   l.accepted.shared.Load(),
		Plain:    l.accepted.plain.Load(),
		Refused:  l.refused.Load(),
		Failed:   l.failures.Load(),
		Evicted:  upgrades.Evicted,
		Pending:  upgrades.Pending,
		Ready:    upgrades.Ready,
	}
	l.ledger.fill(&s)
	return s
}
