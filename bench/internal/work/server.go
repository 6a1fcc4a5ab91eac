package work

import (
	"errors"
	"io"
	"net"
	"sync"
)

// connServer runs a function for each accepted connection.
type connServer struct {
	ln net.Listener
	wg sync.WaitGroup

	mu     sync.Mutex // guards what follows
	closed bool
	conns  map[net.Conn]struct{}
	err    error // first error of a handler that was not the end of its connection
}

// serveConns accepts until Close and runs handle for each connection. Handle
// returns nil or io.EOF when the client has closed at the end of an
// operation, anything else is a fault. The connection is closed for it.
func serveConns(ln net.Listener, handle func(net.Conn) error) *connServer {
	s := &connServer{ln: ln, conns: make(map[net.Conn]struct{})}
	s.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				s.fail(err)
				return
			}
			if !s.add(conn) {
				conn.Close()
				return
			}
			s.wg.Go(func() {
				err := handle(conn)
				s.remove(conn)
				if !errors.Is(err, io.EOF) {
					s.fail(err)
				}
			})
		}
	})
	return s
}

func (s *connServer) add(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[conn] = struct{}{}
	return true
}

func (s *connServer) remove(conn net.Conn) {
	s.mu.Lock()
	delete(s.conns, conn)
	s.mu.Unlock()
	conn.Close()
}

// fail keeps the first error. After Close every error is a consequence.
func (s *connServer) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && !s.closed {
		s.err = err
	}
}

func (s *connServer) Close() error {
	s.mu.Lock()
	s.closed = true
	conns := s.conns
	s.conns = make(map[net.Conn]struct{})
	s.mu.Unlock()
	s.ln.Close()
	for conn := range conns {
		conn.Close()
	}
	s.wg.Wait()
	return s.err
}

// echo answers messages of size bytes with themselves until the client
// closes. The client numbers the messages of a connection from 0.
func echo(conn net.Conn, size int) error {
	buf := make([]byte, size)
	for seq := uint64(0); ; seq++ {
		if _, err := io.ReadFull(conn, buf); err != nil {
			return err
		}
		if err := Check(buf, seq); err != nil {
			return err
		}
		if _, err := conn.Write(buf); err != nil {
			return err
		}
	}
}

// An echoer is the client end of echo.
type echoer struct {
	conn      net.Conn
	out, back []byte
	seq       uint64
}

func newEchoer(conn net.Conn, size int) *echoer {
	return &echoer{conn: conn, out: NewMessage(size), back: make([]byte, size)}
}

// roundTrip sends the next message and verifies what comes back.
func (e *echoer) roundTrip() error {
	Stamp(e.out, e.seq)
	if _, err := e.conn.Write(e.out); err != nil {
		return err
	}
	if _, err := io.ReadFull(e.conn, e.back); err != nil {
		return err
	}
	if err := Check(e.back, e.seq); err != nil {
		return err
	}
	e.seq++
	return nil
}
