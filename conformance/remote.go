package conformance

import (
	"net"
	"time"
)

// A remote stands for a connection in the child. Every method call is carried out there.
type remote struct {
	child *child
	id    uint64
}

var _ peer = (*remote)(nil)

func (r *remote) call(q request) (reply, error) {
	q.Conn = r.id
	p, err := r.child.call(q)
	if err != nil {
		return p, err
	}
	return p, p.Err.unpack()
}

func (r *remote) Read(b []byte) (int, error) {
	p, err := r.call(request{Op: "read", N: len(b)})
	return copy(b, p.Data), err
}

func (r *remote) Write(b []byte) (int, error) {
	p, err := r.call(request{Op: "write", Data: b})
	return int(p.N), err
}

func (r *remote) do(k task) (int64, error) {
	p, err := r.call(request{Op: "task", Task: k})
	return p.N, err
}

func (r *remote) LocalAddr() net.Addr {
	p, _ := r.call(request{Op: "addresses"})
	return p.Local.unpack()
}

func (r *remote) RemoteAddr() net.Addr {
	p, _ := r.call(request{Op: "addresses"})
	return p.Remote.unpack()
}

func (r *remote) Close() error      { return r.simple(request{Op: "close"}) }
func (r *remote) CloseRead() error  { return r.simple(request{Op: "close read"}) }
func (r *remote) CloseWrite() error { return r.simple(request{Op: "close write"}) }

func (r *remote) SetDeadline(t time.Time) error {
	return r.simple(request{Op: "deadline", Time: packTime(t)})
}

func (r *remote) SetReadDeadline(t time.Time) error {
	return r.simple(request{Op: "read deadline", Time: packTime(t)})
}

func (r *remote) SetWriteDeadline(t time.Time) error {
	return r.simple(request{Op: "write deadline", Time: packTime(t)})
}

func (r *remote) simple(q request) error {
	_, err := r.call(q)
	return err
}
