package shmconn

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/shmconn/shmconn/internal/wire"
)

// errLateHello is the read error of a server's plain connection whose client,
// after long silence, has begun to set up shared memory after all.
var errLateHello = errors.New("client's hello came too late")

// plainConn is a unix socket that is used as it is after an attempt to set up
// shared memory. Bytes that were read during the attempt are delivered first.
// A handshake frame that the peer sent before it knew better may still arrive:
// it has to come first, and is dealt with before anything is delivered.
//
// It has no SyscallConn and no File: whoever used the socket behind its back
// would miss those bytes or see that frame.
type plainConn struct {
	net.Conn // the *net.UnixConn; Read, ReadFrom and WriteTo are ours

	settled atomic.Bool // nothing is pending and no frame can come
	mu      sync.Mutex  // guards what follows
	pending []byte      // read from the socket, not delivered
	late    wire.Kind   // which frame may still come first, 0 for none
}

// newPlainConn returns sock as a plain connection whose first bytes are
// pending and, if late is not 0, may turn out to be that frame.
func newPlainConn(sock *net.UnixConn, pending []byte, late wire.Kind) *plainConn {
	return &plainConn{Conn: sock, pending: pending, late: late}
}

func (p *plainConn) unix() *net.UnixConn { return p.Conn.(*net.UnixConn) }

// LocalAddr returns the socket's address, without a client's mark.
func (p *plainConn) LocalAddr() net.Addr { return withoutMark(p.Conn.LocalAddr()) }

// RemoteAddr returns the peer's address, without a client's mark.
func (p *plainConn) RemoteAddr() net.Addr { return withoutMark(p.Conn.RemoteAddr()) }

// withoutMark returns addr or, if it is a mark, what an unmarked client has:
// applications take a name for something that they can dial.
func withoutMark(addr net.Addr) net.Addr {
	if a, ok := addr.(*net.UnixAddr); ok && strings.HasPrefix(a.Name, wire.MarkPrefix) {
		return unnamed
	}
	return addr
}

// Read reads from the connection.
func (p *plainConn) Read(b []byte) (int, error) {
	if p.settled.Load() || len(b) == 0 {
		return p.Conn.Read(b)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	// With late still set, nobody knows yet what the pending bytes are.
	if err := p.settleFrame(); err != nil && (p.late != 0 || len(p.pending) == 0) {
		return 0, err
	}
	if len(p.pending) == 0 {
		p.settled.Store(true)
		return p.Conn.Read(b)
	}
	n := copy(b, p.pending)
	p.pending = p.pending[n:]
	return n, nil
}

// settleFrame finds out whether the first bytes are the frame that may still
// come. What it has read stays pending when it fails, for the next attempt.
func (p *plainConn) settleFrame() error {
	for p.late != 0 {
		if !wire.Prefix(p.pending) {
			p.late = 0
			break
		}
		if len(p.pending) == wire.FrameSize {
			if p.late == wire.Hello {
				return &net.OpError{Op: "read", Net: "unix", Source: p.LocalAddr(), Addr: p.RemoteAddr(), Err: errLateHello}
			}
			p.late, p.pending = 0, nil
			break
		}
		buf := make([]byte, wire.FrameSize-len(p.pending))
		n, err := p.Conn.Read(buf)
		p.pending = append(p.pending, buf[:n]...)
		if err != nil && n == 0 {
			if err == io.EOF {
				p.late = 0
			}
			return err
		}
	}
	return nil
}

// WriteTo writes what arrives to w until EOF.
func (p *plainConn) WriteTo(w io.Writer) (int64, error) {
	var n int64
	for buf := make([]byte, wire.FrameSize); !p.settled.Load(); {
		k, err := p.Read(buf)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		k, err = w.Write(buf[:k])
		n += int64(k)
		if err != nil {
			return n, err
		}
	}
	k, err := io.Copy(w, p.Conn)
	return n + k, err
}

// ReadFrom writes what r yields until EOF.
func (p *plainConn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(p.Conn, r) }

// CloseRead shuts down the reading side.
func (p *plainConn) CloseRead() error { return p.unix().CloseRead() }

// CloseWrite shuts down the writing side.
func (p *plainConn) CloseWrite() error { return p.unix().CloseWrite() }
