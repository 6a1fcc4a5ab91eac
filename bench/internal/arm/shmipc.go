package arm

import (
	"io"
	"net"
	"strconv"

	"github.com/cloudwego/shmipc-go"

	"github.com/shmconn/shmconn/bench/internal/work"
)

// shmipcArm is cloudwego/shmipc-go through its net.Conn: a stream of one
// session, whose shared memory is a memfd, with the library's defaults
// otherwise. Where a workload dials for each operation a session is opened
// for each, because a stream alone is no connection.
type shmipcArm struct{ everything }

func (shmipcArm) Name() string { return Shmipc }

func init() {
	// The library logs each fallback to its socket. Level 5 is none.
	shmipc.SetLogLevel(5)
}

func (shmipcArm) Listen(env Env) (net.Listener, string, error) {
	path := env.socketPath()
	ln, err := shmipc.Listen(path)
	if err != nil {
		return nil, "", err
	}
	return shmipcListener{ln}, path, nil
}

func (shmipcArm) Connect(_ Env, workload, address string) (Dialer, error) {
	open := func() (*shmipc.SessionManager, error) {
		conf := shmipc.DefaultSessionManagerConfig()
		conf.Network, conf.Address = "unix", address
		conf.MemMapType = shmipc.MemMapTypeMemFd
		conf.LogOutput = io.Discard
		// The server knows a client's memory by its name, and takes the
		// memory of a session that has just ended for that of the next when
		// they have the same.
		conf.ShareMemoryPathPrefix += strconv.FormatUint(sockets.Add(1), 10)
		return shmipc.NewSessionManager(conf)
	}
	if work.Kind(workload) == work.KindDial {
		return dialFunc(func() (net.Conn, error) {
			session, err := open()
			if err != nil {
				return nil, err
			}
			stream, err := session.GetStream()
			if err != nil {
				session.Close()
				return nil, err
			}
			return shmipcConn{stream, session}, nil
		}), nil
	}
	session, err := open()
	if err != nil {
		return nil, err
	}
	return shmipcDialer{session}, nil
}

// A shmipcDialer opens streams of one session.
type shmipcDialer struct{ session *shmipc.SessionManager }

func (d shmipcDialer) Dial() (net.Conn, error) {
	stream, err := d.session.GetStream()
	if err != nil {
		return nil, err
	}
	return shmipcConn{Conn: stream}, nil
}

func (d shmipcDialer) Close() error { return d.session.Close() }

// A shmipcListener accepts streams of any session.
type shmipcListener struct{ net.Listener }

func (l shmipcListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return shmipcConn{Conn: conn}, nil
}

// A shmipcConn is a stream that ends as package io has it.
type shmipcConn struct {
	net.Conn
	session *shmipc.SessionManager // to close with it, or nil
}

func (c shmipcConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	// The second is what a reader gets when the peer has closed the session.
	if err == shmipc.ErrEndOfStream || err == shmipc.ErrStreamClosed {
		err = io.EOF
	}
	return n, err
}

func (c shmipcConn) Close() error {
	err := c.Conn.Close()
	if c.session == nil {
		return err
	}
	if sessionErr := c.session.Close(); err == nil {
		err = sessionErr
	}
	return err
}
