// Package listener wraps a net.Listener so that every accepted connection is
// upgraded (by a handshake, an authorization, a change of transport) before
// the application sees it, as crypto/tls wraps a listener. Unlike crypto/tls
// it runs the upgrades itself, off the accept path and at the same time, so
// that a slow or silent client delays nobody. It knows connections and
// deadlines, nothing of what an upgrade does.
package listener

import (
	"container/list"
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

const (
	defaultTimeout    = 5 * time.Second
	defaultMaxPending = 128
)

// ErrEvicted is the cancellation cause of an upgrade that had to give its
// place to a newer connection. Errors reported to [Config.OnError] for such an
// upgrade wrap it.
var ErrEvicted = errors.New("listener: upgrade evicted to admit a newer connection")

// An Upgrade turns the accepted connection c into the one that the application
// gets. It is called on a goroutine of its own, at the same time as others.
//
// On success the returned connection has taken c over: closing it must close
// c. It may be c itself. On error the upgrade has not closed c; the listener
// does.
//
// ctx ends after [Config.Timeout], with cause [ErrEvicted] on eviction and
// with cause [net.ErrClosed] when the listener is closed; it also ends as soon
// as the upgrade returns, so the returned connection must not depend on it.
// When ctx ends while the upgrade is running, the listener sets c's deadline
// to a moment in the past, which unblocks a Read or Write of c and leaves c
// itself open and owned by the upgrade. An upgrade that waits for anything
// else has to watch ctx. An upgrade that sets deadlines on c has to check ctx
// after doing so, because it may have wiped that one, and has to clear its own
// before it returns c. The listener itself never leaves a deadline on a
// connection that it delivers: an upgrade that succeeds after ctx has ended
// counts as failed and its connection is closed.
//
// A panic in an upgrade is not recovered.
type Upgrade func(ctx context.Context, c net.Conn) (net.Conn, error)

// Config adjusts a [Listener]. The zero value is ready for use.
type Config struct {
	// Timeout bounds each upgrade, counted from the moment it is started.
	// Zero or less means 5 seconds.
	Timeout time.Duration

	// MaxPending bounds the connections that the listener holds: upgrades in
	// progress plus upgraded connections that the application has not
	// accepted yet. Zero or less means 128.
	//
	// When all places are taken, a new connection takes the place of the
	// oldest upgrade in progress, but not before that upgrade has been
	// running for MaxPending times 50 microseconds, at most 1 second. So a
	// burst of honest clients waits in the kernel's backlog rather than
	// evicting itself, while 1000 silent clients are passed in 50 ms
	// whatever MaxPending is. Raise MaxPending for larger bursts. Upgraded
	// connections are never evicted: when they hold all places, the listener
	// stops accepting and the kernel's backlog holds the rest.
	//
	// Upgrades that have been evicted or have failed, but have not returned
	// from Upgrade or OnError, hold no place. While there are MaxPending of
	// these the listener does not accept, so that upgrades which ignore
	// their context cannot pile up: it never holds more than twice
	// MaxPending connections, and one that it has accepted without yet
	// having a place for it.
	MaxPending int

	// OnError, if not nil, is called for each failed upgrade with the
	// accepted connection, which is still open, and the reason: the error of
	// the upgrade and, if its context had ended, the cause, both reachable
	// by errors.Is. Upgrades cut short by Close are among them and wrap
	// net.ErrClosed.
	//
	// It is called from the goroutine of the upgrade, so it may run several
	// times at once. It must not keep the connection, which is closed when it
	// returns, and should not write to it without a deadline.
	OnError func(c net.Conn, err error)
}

// Stats are counters of a [Listener]. Accepted is the sum of Upgraded, Failed,
// Evicted and Pending.
type Stats struct {
	Accepted uint64 // connections taken from the inner listener
	Upgraded uint64 // upgrades that succeeded
	Failed   uint64 // upgrades that failed, other than by eviction
	Evicted  uint64 // upgrades cancelled to admit a newer connection
	Pending  int    // upgrades in progress
	Ready    int    // upgraded, not yet accepted by the application
}

// A Listener is a net.Listener whose Accept returns upgraded connections, in
// the order in which their upgrades finished. All its methods may be called
// from several goroutines at once.
type Listener struct {
	inner   net.Listener
	upgrade Upgrade
	onError func(net.Conn, error)
	timeout time.Duration
	max     int           // places
	grace   time.Duration // age below which an upgrade is not evicted

	// Each of these is unbuffered: whoever sends knows that an Accept call
	// has what it sent, and what no call has is still the sender's to close.
	ready chan net.Conn
	errs  chan error

	deadline deadline

	// base is the parent of every upgrade's context, and its end, cause
	// net.ErrClosed, is the closed state of the listener.
	base   context.Context
	cancel context.CancelCauseFunc

	closeOnce sync.Once
	draining  chan struct{} // closed by Drain

	wake chan struct{} // capacity 1: places have changed, for the accept loop

	mu      sync.Mutex // guards what follows
	pending list.List  // of *handshake, oldest first
	nready  int        // upgraded, not accepted
	leaving int        // failed or evicted, not yet returned and closed
	looped  bool       // the accept loop has ended
	stats   Stats      // without Pending and Ready
}

var _ net.Listener = (*Listener)(nil)

// New returns a listener that accepts from inner, which it owns from now on,
// and upgrades what it accepts. It panics if inner or upgrade is nil.
//
// Accepting starts at once, not with the first Accept: to a client a
// listening socket answers from the moment it exists, and programs dial and
// accept in turn on one goroutine. Connections of inner must support
// SetDeadline. The listener must be closed to release its goroutine.
func New(inner net.Listener, upgrade Upgrade, cfg Config) *Listener {
	l := build(inner, upgrade, cfg)
	go l.loop()
	return l
}

func build(inner net.Listener, upgrade Upgrade, cfg Config) *Listener {
	if inner == nil || upgrade == nil {
		panic("listener: New needs a listener and an upgrade function")
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.MaxPending <= 0 {
		cfg.MaxPending = defaultMaxPending
	}
	l := &Listener{
		inner:   inner,
		upgrade: upgrade,
		onError: cfg.OnError,
		timeout: cfg.Timeout,
		max:     cfg.MaxPending,
		grace:   evictionGrace(cfg.MaxPending),
		ready:   make(chan net.Conn),
		errs:    make(chan error),
		wake:    make(chan struct{}, 1),
	}
	l.draining = make(chan struct{})
	l.deadline.init()
	l.base, l.cancel = context.WithCancelCause(context.Background())
	return l
}

// Accept waits for the next upgraded connection. A failed upgrade is never an
// error of Accept.
//
// An error of the inner listener's Accept is returned as it is, to exactly
// one caller, and the inner listener is not asked again before that; so a
// temporary error, such as the limit of descriptors, stays temporary. After
// Close, or after the inner listener was closed, the error is a *net.OpError
// that wraps net.ErrClosed; after the deadline it is one that wraps
// os.ErrDeadlineExceeded, even if a connection is ready, as in package net.
func (l *Listener) Accept() (net.Conn, error) {
	expired := l.deadline.wait()
	if l.closed() {
		return nil, l.opError("accept", net.ErrClosed)
	}
	select {
	case <-expired:
		return nil, l.opError("accept", os.ErrDeadlineExceeded)
	default:
	}
	// A connection goes before an error: servers answer a temporary error
	// by sleeping, which a client that is already here need not wait for.
	select {
	case c := <-l.ready:
		return c, nil
	default:
	}
	select {
	case c := <-l.ready:
		return c, nil
	case err := <-l.errs:
		return nil, err
	case <-l.base.Done():
		return nil, l.opError("accept", net.ErrClosed)
	case <-expired:
		return nil, l.opError("accept", os.ErrDeadlineExceeded)
	}
}

// Close closes the inner listener and returns its error. It unblocks Accept,
// ends the context of every upgrade in progress with cause net.ErrClosed, and
// has all connections that were not accepted closed. It does not wait for the
// upgrades: each closes its connection and ends when it returns, so one that
// ignores its context holds up only itself. Further calls return a
// *net.OpError that wraps net.ErrClosed.
func (l *Listener) Close() error {
	err := l.opError("close", net.ErrClosed)
	// First, so that the accept loop and blocked Accept calls see their own
	// state and not whatever error the inner listener has for it.
	l.shutdown()
	l.closeOnce.Do(func() { err = l.inner.Close() })
	return err
}

// Addr returns the address of the inner listener.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// SetDeadline sets the time after which Accept fails instead of waiting; it
// applies to blocked calls too. The zero time means no deadline. It works
// whether or not the inner listener has deadlines, and does not touch upgrades
// in progress.
func (l *Listener) SetDeadline(t time.Time) error {
	if l.closed() {
		return l.opError("set", net.ErrClosed)
	}
	l.deadline.set(t)
	return nil
}

// Stats returns the counters as they are at one moment.
func (l *Listener) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Pending = l.pending.Len()
	s.Ready = l.nready
	return s
}

func (l *Listener) closed() bool { return l.base.Err() != nil }

// shutdown enters the closed state, which is final.
func (l *Listener) shutdown() {
	// Under mu, so that admit and settle never see the state change between
	// their check and what they do about it.
	l.mu.Lock()
	l.cancel(net.ErrClosed)
	l.mu.Unlock()
	l.deadline.set(time.Time{}) // stops its timer
}

func (l *Listener) opError(op string, err error) error {
	e := &net.OpError{Op: op, Addr: l.inner.Addr(), Err: err}
	if e.Addr != nil {
		e.Net = e.Addr.Network()
	}
	return e
}
