package shmconn

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/shmconn/shmconn/internal/wire"
)

const (
	// greetingTimeout is how long a client waits for a sign that the server
	// speaks the protocol. A server greets as soon as it has accepted, which
	// takes well under a millisecond when it is not overloaded. A server that
	// takes longer is served as well, over the plain socket.
	greetingTimeout = 100 * time.Millisecond

	// handshakeTimeout bounds the rest of the handshake, once the server has
	// greeted.
	handshakeTimeout = 5 * time.Second

	// maxPath is the longest path of a unix socket's address (sun_path in
	// unix(7) has 108 bytes, one for the terminating NUL).
	maxPath = 107
)

// Dialer makes connections. The zero value is ready for use. A Dialer may be
// used by several goroutines at once and must not be changed meanwhile.
type Dialer struct {
	// NetDialer makes the underlying connection, and those that are not local.
	// Its LocalAddr is not used for networks "unix" and "shm".
	NetDialer net.Dialer

	// RingSize is how many bytes each direction of the connection should
	// hold, a power of two from 4096 to 1 GiB. The server has the last word.
	// Zero means the server's default.
	RingSize int

	// SpinBudget is how long a Read or Write looks at the shared memory before it
	// sleeps. Zero means 250 us, negative not at all. It concerns this end only;
	// [ListenConfig] says what it costs.
	SpinBudget time.Duration

	// LocalPath, if not nil, says which addresses live on this machine. It is
	// asked about every address of a network other than "unix" and "shm", before
	// anything is dialled. If ok is true, network "unix" is dialled at path
	// instead: shared memory if the server there offers it, or the plain socket.
	// If ok is false, and for the zero value, package net dials the address. So
	// the same code reaches a server on this machine and, after it has moved, on
	// another one.
	//
	// If the path cannot be dialled, Dial fails with an error that names the path
	// and does not try the network; a load balancer then tries its next address.
	// LocalPath may be called by several goroutines at once.
	LocalPath func(network, address string) (path string, ok bool)
}

// Dial connects to address with the zero Dialer.
func Dial(network, address string) (net.Conn, error) {
	return new(Dialer).Dial(network, address)
}

// Dial is DialContext without a context.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext connects to address.
//
// With network "unix" the connection is over shared memory, a *Conn, when the
// server offers it, and else a plain unix socket. It takes up to 100 ms to find
// out that a server offers none; that is remembered for a minute for the same
// socket file. With network "shm" it is a *Conn or an error, which for a server
// that offers none comes after 5 seconds, or as soon as it says something else.
// Any other network is handed to package net unchanged, but for the addresses
// that LocalPath knows.
//
// A connection over a plain unix socket has CloseRead and CloseWrite, but is not
// always a *net.UnixConn: bytes that arrived while the ends found out about each
// other can still be ahead of what the socket holds.
//
// A server whose backlog is full is tried again until ctx ends. Once the
// connection is made, ctx has no influence on it.
//
// Errors are *net.OpError of operation "dial"; those of a deadline, ctx's or the
// Dialer's own, are timeouts.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "unix" && network != "shm" {
		path, ok := d.localPath(network, address)
		if !ok {
			return d.NetDialer.DialContext(ctx, network, address)
		}
		network, address = "unix", path
	}
	if d.NetDialer.Timeout > 0 || !d.NetDialer.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = d.withTimeout(ctx)
		defer cancel()
	}
	conn, err := d.dialLocal(ctx, network == "shm", address)
	if err != nil {
		return nil, dialError(address, err)
	}
	return conn, nil
}

// localPath asks LocalPath, if there is one.
func (d *Dialer) localPath(network, address string) (path string, ok bool) {
	if d.LocalPath == nil {
		return "", false
	}
	return d.LocalPath(network, address)
}

// withTimeout applies the limits of the inner dialer, which package net applies
// to connect(2) only, to the handshake as well.
func (d *Dialer) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline := d.NetDialer.Deadline
	if t := d.NetDialer.Timeout; t > 0 {
		if end := time.Now().Add(t); deadline.IsZero() || end.Before(deadline) {
			deadline = end
		}
	}
	return context.WithDeadline(ctx, deadline)
}

// DialTarget connects to a gRPC target, for grpc.WithContextDialer:
// "unix:///path", "unix:path", "unix-abstract:name" and "/path" dial network
// "unix", anything else is a TCP address, about which LocalPath is asked.
func (d *Dialer) DialTarget(ctx context.Context, target string) (net.Conn, error) {
	if name, ok := strings.CutPrefix(target, "unix-abstract:"); ok {
		return d.DialContext(ctx, "unix", "@"+name)
	}
	if path, ok := strings.CutPrefix(target, "unix:"); ok {
		if rest, ok := strings.CutPrefix(path, "//"); ok {
			path = rest
		}
		return d.DialContext(ctx, "unix", path)
	}
	if strings.HasPrefix(target, "/") {
		return d.DialContext(ctx, "unix", target)
	}
	return d.DialContext(ctx, "tcp", target)
}

// dialLocal connects to the unix socket at path. strict means shared memory or
// an error.
func (d *Dialer) dialLocal(ctx context.Context, strict bool, path string) (net.Conn, error) {
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if err := checkRingSize(d.RingSize); err != nil {
		return nil, err
	}
	if !supported && strict {
		return nil, errors.ErrUnsupported
	}
	if !supported || !strict && plainServers.has(path) {
		sock, err := d.connect(ctx, path, nil)
		if err != nil {
			return nil, err
		}
		return sock, nil
	}
	sock, err := d.connect(ctx, path, newMark())
	var sys *os.SyscallError
	if !strict && errors.As(err, &sys) && sys.Syscall == "bind" {
		// A security module may reserve abstract names for others. Without the
		// mark we are a plain client.
		if sock, err = d.connect(ctx, path, nil); err == nil {
			return sock, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return d.shakeHands(ctx, sock, strict, path)
}

// overtime is how long a handshake may take that should have ended.
const overtime = 100 * time.Millisecond

// shakeHands runs the handshake on sock, which it owns. It does so on another
// goroutine, which is left behind when it does not end in time: deadlines hold
// against all that a server sends but descriptors whose release blocks within
// recvmsg(2), for as long as unblocked lets it.
func (d *Dialer) shakeHands(ctx context.Context, sock *net.UnixConn, strict bool, path string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done, abandoned := make(chan result), make(chan struct{})
	go func() {
		conn, err := d.handshake(ctx, sock, strict, path)
		select {
		case done <- result{conn, err}:
		case <-abandoned:
			if err == nil {
				conn.Close()
			}
		}
		if err != nil {
			closeSocket(sock)
		}
	}()
	limit := time.NewTimer(2*handshakeTimeout + overtime)
	defer limit.Stop()
	ended := ctx.Done()
	for {
		select {
		case r := <-done:
			return r.conn, r.err
		case <-ended:
			ended = nil
			limit.Reset(overtime)
		case <-limit.C:
			close(abandoned)
			err := context.Cause(ctx)
			if err == nil {
				err = os.ErrDeadlineExceeded
			}
			return nil, fmt.Errorf("%w: handshake blocked by the server's descriptors", err)
		}
	}
}

// connect connects to path from the given local address. While the backlog is
// full, which connect(2) of a non-blocking unix socket reports at once by
// EAGAIN, it tries again until ctx ends.
func (d *Dialer) connect(ctx context.Context, path string, mark *net.UnixAddr) (*net.UnixConn, error) {
	nd := d.NetDialer
	nd.LocalAddr = nil
	if mark != nil {
		nd.LocalAddr = mark
	}
	attempt := ctx
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		conn, err := nd.DialContext(attempt, "unix", path)
		if err == nil {
			return conn.(*net.UnixConn), nil
		}
		if !errors.Is(err, syscall.EAGAIN) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w while the server's backlog is full", ctx.Err())
		case <-time.After(pause):
		}
		// An attempt takes no time: one that begins as ctx ends need not fail
		// by that, and its own error says more.
		attempt = context.WithoutCancel(ctx)
		nd.Timeout, nd.Deadline = 0, time.Time{}
	}
}

// newMark returns an address that tells the server that this client speaks the
// protocol. It is a hint, not a proof of anything.
func newMark() *net.UnixAddr {
	return &net.UnixAddr{Net: "unix", Name: wire.MarkPrefix + rand.Text()}
}

// checkPath explains what the kernel would call an invalid argument.
func checkPath(path string) error {
	if len(path) > maxPath {
		return fmt.Errorf("socket path of %d bytes is longer than %d: %w", len(path), maxPath, syscall.EINVAL)
	}
	return nil
}

// dialError gives err the form in which package net returns it.
func dialError(path string, err error) error {
	var already *net.OpError
	if errors.As(err, &already) && already.Op == "dial" {
		// Its source, if any, is the mark, which means nothing to the caller.
		e := *already
		e.Source = nil
		if file, err := os.Stat(path); supported && err == nil && file.Mode().Type() != fs.ModeSocket {
			e.Err = fmt.Errorf("not a socket: %w", e.Err) // the kernel says no more than ECONNREFUSED
		}
		return &e
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		err = timeoutError{err}
	}
	return &net.OpError{Op: "dial", Net: "unix", Addr: &net.UnixAddr{Name: path, Net: "unix"}, Err: err}
}

// timeoutError tells a net.OpError, which looks no deeper than its Err, that
// a deadline is behind it.
type timeoutError struct{ error }

func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }
func (e timeoutError) Unwrap() error { return e.error }
