package work

import (
	"net"
	"time"
)

// DialEcho opens a connection, sends 64 bytes, waits until they have come
// back, and closes the connection.
type DialEcho struct{}

const dialSize = 64

func (DialEcho) Name() string { return KindDial }
func (DialEcho) Op() string   { return "dial+echo+close" }
func (DialEcho) Payload() int { return 0 }

func (DialEcho) Serve(ln net.Listener) Server {
	return serveConns(ln, func(conn net.Conn) error { return echo(conn, dialSize) })
}

func (DialEcho) Open(dial Dial) (Client, error) { return dialClient{dial}, nil }

type dialClient struct{ dial Dial }

func (c dialClient) Run(d time.Duration, lat *Latency) (int64, error) {
	e := newEchoer(nil, dialSize)
	return repeat(d, lat, func() error {
		conn, err := c.dial()
		if err != nil {
			return err
		}
		e.conn, e.seq = conn, 0
		if err := e.roundTrip(); err != nil {
			conn.Close()
			return err
		}
		return conn.Close()
	})
}

func (dialClient) Close() error { return nil }
