package work

import (
	"fmt"
	"net"
	"time"
)

// Idle opens Conns connections, sends one small message each way on each, so
// that everything that is set up on first use is there, and then does
// nothing. The server waits in Read on each.
type Idle struct {
	Conns int
}

const idleSize = 64

func (i Idle) Name() string { return fmt.Sprintf("%s/%d", KindIdle, i.Conns) }
func (i Idle) Op() string   { return "idle connection" }
func (i Idle) Payload() int { return 0 }

func (i Idle) Serve(ln net.Listener) Server {
	return serveConns(ln, func(conn net.Conn) error { return echo(conn, idleSize) })
}

func (i Idle) Open(dial Dial) (Client, error) {
	c := &idleClient{}
	e := newEchoer(nil, idleSize)
	for range i.Conns {
		conn, err := dial()
		if err != nil {
			c.Close()
			return nil, fmt.Errorf("connection %d: %w", len(c.conns), err)
		}
		c.conns = append(c.conns, conn)
		e.conn, e.seq = conn, 0
		if err := e.roundTrip(); err != nil {
			c.Close()
			return nil, fmt.Errorf("connection %d: %w", len(c.conns), err)
		}
	}
	return c, nil
}

type idleClient struct{ conns []net.Conn }

// Run lets d pass. Its operations are the connections.
func (c *idleClient) Run(d time.Duration, lat *Latency) (int64, error) {
	time.Sleep(d)
	return int64(len(c.conns)), nil
}

func (c *idleClient) Close() error { return closeAll(c.conns) }
