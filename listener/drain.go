package listener

import (
	"net"
	"time"
)

// Drain closes the inner listener and returns its error, but lets the
// connections that were taken from it before go on: Accept returns them as
// they are upgraded, and fails with net.ErrClosed when none is left, or after
// [Config.Timeout], which ends the rest. It is Close for a listening socket
// that another process goes on accepting from, to which they would be lost.
//
// It does not wait. Close ends what is left at once. After either of them Drain
// returns what another Close does.
func (l *Listener) Drain() error {
	err := l.opError("close", net.ErrClosed)
	l.closeOnce.Do(func() {
		close(l.draining) // before the accept loop sees the inner listener fail
		time.AfterFunc(l.timeout, l.shutdown)
		err = l.inner.Close()
	})
	return err
}

// isDraining reports whether Drain has been called.
func (l *Listener) isDraining() bool {
	select {
	case <-l.draining:
		return true
	default:
		return false
	}
}

// ended is called with mu held when an upgrade or a connection has been
// disposed of, or the accept loop has ended. It enters the closed state if
// nothing is left of what Drain has spared.
func (l *Listener) ended() {
	if l.looped && l.pending.Len() == 0 && l.nready == 0 {
		l.cancel(net.ErrClosed)
	}
}
