package arm

import (
	"errors"
	"net"
	"strconv"
	"sync"

	"github.com/shmconn/shmconn/bench/internal/work"
)

// pipeArm is net.Pipe, with client and server in one process: what the work
// costs without any kernel, and without a second processor's cache.
type pipeArm struct{}

func (pipeArm) Name() string { return Pipe }

func (pipeArm) Does(workload string) error {
	if work.Kind(workload) == work.KindIdle {
		return errors.New("net.Pipe has no memory of its own")
	}
	return nil
}

// InProcess reports whether an arm's server lives in the client's process.
func InProcess(name string) bool { return name == Pipe }

// pipes holds the listeners of this process by address.
var pipes sync.Map

func (pipeArm) Listen(Env) (net.Listener, string, error) {
	ln := &pipeListener{
		address:  strconv.FormatUint(sockets.Add(1), 10),
		incoming: make(chan net.Conn),
		closed:   make(chan struct{}),
	}
	pipes.Store(ln.address, ln)
	return ln, ln.address, nil
}

func (pipeArm) Connect(_ Env, _, address string) (Dialer, error) {
	ln, ok := pipes.Load(address)
	if !ok {
		return nil, errors.New("no pipe listener " + address + " in this process")
	}
	return dialFunc(ln.(*pipeListener).dial), nil
}

// A pipeListener hands the other ends of pipes to Accept.
type pipeListener struct {
	address  string
	incoming chan net.Conn
	once     sync.Once
	closed   chan struct{}
}

func (l *pipeListener) dial() (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.incoming <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.incoming:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() {
		pipes.Delete(l.address)
		close(l.closed)
	})
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
