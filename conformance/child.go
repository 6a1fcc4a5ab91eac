package conformance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

// childEnv holds the name of the transport in the environment of a child.
const childEnv = "CONFORMANCE_CHILD"

// Child turns a process that TestTwoProcesses has started into its peer and does not return. In any
// other process it does nothing. TestMain calls it before all else, with every transport that the
// package's tests give to TestTwoProcesses.
func Child(transports ...Transport) {
	name := os.Getenv(childEnv)
	if name == "" {
		return
	}
	for _, tr := range transports {
		if tr.Name == name {
			s := &server{transport: tr, objects: make(map[uint64]any), out: sender{w: os.Stdout}}
			s.serve(os.Stdin)
			os.Exit(0)
		}
	}
	fmt.Fprintf(os.Stderr, "conformance: Child was not given the transport %q\n", name)
	os.Exit(2)
}

// A server is the child's half: it carries out the calls of the parent, which come in on standard
// input, and answers on standard output.
type server struct {
	transport Transport

	mu      sync.Mutex
	last    uint64
	objects map[uint64]any // guarded by mu: connections and listeners
	out     sender
}

// serve returns when the parent has closed its end, be it by dying.
func (s *server) serve(r io.Reader) {
	in := bufio.NewReader(r)
	for {
		var q request
		if err := receiveMessage(in, &q); err != nil {
			return
		}
		go func() {
			var p reply
			err := s.handle(&q, &p)
			p.ID, p.Err = q.ID, packError(err)
			if err := s.out.send(&p); err != nil {
				os.Exit(1)
			}
		}()
	}
}

func (s *server) handle(q *request, p *reply) error {
	switch q.Op {
	case "listen":
		ln, err := s.transport.Listen(q.Path)
		if err != nil {
			return err
		}
		p.Conn = s.keep(ln)
		return nil
	case "dial":
		c, err := s.transport.Dial(q.Path)
		return s.opened(c, err, p)
	case "counts":
		var err error
		p.Counts, err = takeCounts()
		return err
	case "exit":
		os.Exit(0)
	}

	s.mu.Lock()
	object := s.objects[q.Conn]
	if q.Op == "drop" {
		delete(s.objects, q.Conn)
	}
	s.mu.Unlock()
	switch o := object.(type) {
	case net.Listener:
		if q.Op == "accept" {
			c, err := o.Accept()
			return s.opened(c, err, p)
		}
		return o.Close()
	case duplex:
		return handleConn(o, q, p)
	}
	return fmt.Errorf("no such object: %d", q.Conn)
}

func handleConn(c duplex, q *request, p *reply) (err error) {
	switch q.Op {
	case "read":
		buf := make([]byte, q.N)
		var n int
		n, err = c.Read(buf)
		p.N, p.Data = int64(n), buf[:max(n, 0)]
	case "write":
		var n int
		n, err = c.Write(q.Data)
		p.N = int64(n)
	case "task":
		p.N, err = q.Task.perform(c)
	case "deadline":
		err = c.SetDeadline(unpackTime(q.Time))
	case "read deadline":
		err = c.SetReadDeadline(unpackTime(q.Time))
	case "write deadline":
		err = c.SetWriteDeadline(unpackTime(q.Time))
	case "close read":
		err = c.CloseRead()
	case "close write":
		err = c.CloseWrite()
	case "close", "drop":
		err = c.Close()
	case "addresses":
		p.Local, p.Remote = packAddr(c.LocalAddr()), packAddr(c.RemoteAddr())
	default:
		err = fmt.Errorf("no such call: %q", q.Op)
	}
	return err
}

// opened keeps a new connection.
func (s *server) opened(c net.Conn, err error, p *reply) error {
	if err != nil {
		return err
	}
	d, ok := c.(duplex)
	if !ok {
		c.Close()
		return fmt.Errorf("%T: CloseRead or CloseWrite missing", c)
	}
	p.Conn = s.keep(d)
	return nil
}

func (s *server) keep(object any) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	s.objects[s.last] = object
	return s.last
}
