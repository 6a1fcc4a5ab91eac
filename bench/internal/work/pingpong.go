package work

import (
	"fmt"
	"net"
	"time"
)

// PingPong sends a message of Size bytes and waits until it has come back, on
// each of Conns connections at once.
type PingPong struct {
	Size  int
	Conns int
}

func (p PingPong) Name() string {
	if p.Conns > 1 {
		return fmt.Sprintf("busy/%dx%s", p.Conns, SizeString(p.Size))
	}
	return "pingpong/" + SizeString(p.Size)
}

func (p PingPong) Op() string   { return "round trip" }
func (p PingPong) Payload() int { return 0 }

func (p PingPong) Serve(ln net.Listener) Server {
	return serveConns(ln, func(conn net.Conn) error { return echo(conn, p.Size) })
}

func (p PingPong) Open(dial Dial) (Client, error) {
	c := &pingPongClient{}
	for range p.Conns {
		conn, err := dial()
		if err != nil {
			c.Close()
			return nil, err
		}
		e := newEchoer(conn, p.Size)
		c.conns = append(c.conns, conn)
		c.ops = append(c.ops, e.roundTrip)
	}
	return c, nil
}

type pingPongClient struct {
	conns []net.Conn
	ops   []func() error
}

func (c *pingPongClient) Run(d time.Duration, lat *Latency) (int64, error) {
	return repeatAll(d, lat, c.ops)
}

func (c *pingPongClient) Close() error { return closeAll(c.conns) }

func closeAll(conns []net.Conn) error {
	var first error
	for _, conn := range conns {
		if err := conn.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
