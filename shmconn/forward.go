package shmconn

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// The methods of *net.UnixListener by which programs hand a listening socket to
// a successor without a moment in which nobody listens.
var _ interface {
	net.Listener
	syscall.Conn
	SetDeadline(time.Time) error
	File() (*os.File, error)
	SetUnlinkOnClose(bool)
} = (*Listener)(nil)

// File returns a duplicate of the listening socket's descriptor, which is the
// caller's to close. After it, Close lets handshakes under way finish.
func (l *Listener) File() (*os.File, error) {
	inner, ok := l.inner.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, listenerError(l, "file", errors.ErrUnsupported)
	}
	l.shared.Store(true)
	return inner.File()
}

// SyscallConn returns the listening socket. After it, Close lets handshakes under
// way finish.
func (l *Listener) SyscallConn() (syscall.RawConn, error) {
	inner, ok := l.inner.(syscall.Conn)
	if !ok {
		return nil, listenerError(l, "raw-control", errors.ErrUnsupported)
	}
	l.shared.Store(true)
	return inner.SyscallConn()
}

// SetUnlinkOnClose sets whether Close removes the socket file. It does for a
// listener that Listen has made; for one that NewListener has made that is as
// it was with the inner listener.
func (l *Listener) SetUnlinkOnClose(unlink bool) {
	if l.path != "" {
		l.keep.Store(!unlink)
	} else if inner, ok := l.inner.(interface{ SetUnlinkOnClose(bool) }); ok {
		inner.SetUnlinkOnClose(unlink)
	}
}

func listenerError(l net.Listener, op string, err error) error {
	return &net.OpError{Op: op, Net: l.Addr().Network(), Addr: l.Addr(), Err: err}
}
