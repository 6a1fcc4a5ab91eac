package arm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

// dbusArm carries each Write as one signal through a D-Bus daemon, addressed
// to the other end, as an array of 64-bit words: godbus encodes arrays element
// by element, and bytes would cost eight times as much. A daemon has no flow
// control between its clients, so the arm has its own: a sender stops when
// dbusWindow bytes have not been taken, and the receiver says what it has
// taken after each half of that.
type dbusArm struct{}

const (
	dbusWindow = 1 << 20
	dbusPath   = dbus.ObjectPath("/bench")
	dbusIface  = "shmconn.Bench"
	dbusOpen   = "Open"   // a connection begins
	dbusData   = "Data"   // words
	dbusCredit = "Credit" // number of bytes taken
	dbusClose  = "Close"  // a connection ends
)

func (dbusArm) Name() string               { return DBus }
func (dbusArm) Does(workload string) error { return messagesOnly(DBus, workload) }

var errNoBus = errors.New("no D-Bus daemon")

func (dbusArm) Listen(env Env) (net.Listener, string, error) {
	if env.Bus == "" {
		return nil, "", errNoBus
	}
	ln := &dbusListener{incoming: make(chan net.Conn, 16), closed: make(chan struct{}), conns: make(map[string]*dbusConn)}
	bus, err := dbus.Connect(env.Bus, dbus.WithSignalHandler(ln))
	if err != nil {
		return nil, "", err
	}
	ln.bus = bus
	return ln, bus.Names()[0], nil
}

func (dbusArm) Connect(env Env, _, address string) (Dialer, error) {
	if env.Bus == "" {
		return nil, errNoBus
	}
	return dialFunc(func() (net.Conn, error) {
		c := newDBusConn(address)
		bus, err := dbus.Connect(env.Bus, dbus.WithSignalHandler(dbusClient{c}))
		if err != nil {
			return nil, err
		}
		c.bus, c.closeBus = bus, bus.Close
		return c, c.send(dbusOpen)
	}), nil
}

// dbusClient delivers the signals of a client's bus connection.
type dbusClient struct{ conn *dbusConn }

func (d dbusClient) DeliverSignal(_, member string, signal *dbus.Signal) {
	d.conn.deliver(member, signal)
}

// A dbusListener accepts on one bus connection, which its connections share;
// they are told apart by the sender.
type dbusListener struct {
	bus      *dbus.Conn
	incoming chan net.Conn
	once     sync.Once
	closed   chan struct{}
	conns    map[string]*dbusConn // used by DeliverSignal only, which is called in sequence
}

func (l *dbusListener) DeliverSignal(_, member string, signal *dbus.Signal) {
	conn := l.conns[signal.Sender]
	if conn == nil {
		if member != dbusOpen {
			return
		}
		conn = newDBusConn(signal.Sender)
		conn.bus = l.bus
		l.conns[signal.Sender] = conn
		select {
		case l.incoming <- conn:
		case <-l.closed:
		}
		return
	}
	conn.deliver(member, signal)
	if member == dbusClose {
		delete(l.conns, signal.Sender)
	}
}

func (l *dbusListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.incoming:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *dbusListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.bus.Close()
}

func (l *dbusListener) Addr() net.Addr { return dbusAddr(l.bus.Names()[0]) }

type dbusAddr string

func (dbusAddr) Network() string  { return DBus }
func (a dbusAddr) String() string { return string(a) }

// A dbusConn is one end of a connection over the bus. Deadlines are not
// supported. Writes are multiples of 8 bytes.
type dbusConn struct {
	bus      *dbus.Conn
	closeBus func() error // nil where the bus connection is shared
	peer     string

	mu      sync.Mutex // guards what follows
	changed sync.Cond
	queue   [][]uint64 // received and not read
	credit  int        // bytes taken from the queue and not yet said
	flight  int        // bytes sent and not yet taken by the peer
	ended   bool       // by the peer
	closed  bool       // by us

	rest []byte // of the message at hand; Read's own
}

func newDBusConn(peer string) *dbusConn {
	c := &dbusConn{peer: peer}
	c.changed.L = &c.mu
	return c
}

// deliver takes a signal from the peer.
func (c *dbusConn) deliver(member string, signal *dbus.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch member {
	case dbusData:
		if words, ok := signal.Body[0].([]uint64); ok {
			c.queue = append(c.queue, words)
		}
	case dbusCredit:
		if n, ok := signal.Body[0].(uint32); ok {
			c.flight -= int(n)
		}
	case dbusClose:
		c.ended = true
	}
	c.changed.Broadcast()
}

// send sends one signal.
func (c *dbusConn) send(member string, body ...any) error {
	msg := &dbus.Message{
		Type: dbus.TypeSignal,
		Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldDestination: dbus.MakeVariant(c.peer),
			dbus.FieldPath:        dbus.MakeVariant(dbusPath),
			dbus.FieldInterface:   dbus.MakeVariant(dbusIface),
			dbus.FieldMember:      dbus.MakeVariant(member),
		},
		Body: body,
	}
	if len(body) > 0 {
		msg.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
	}
	return c.bus.Send(msg, nil).Err
}

func (c *dbusConn) Write(b []byte) (int, error) {
	if len(b)%8 != 0 {
		return 0, fmt.Errorf("dbus: write of %d bytes", len(b))
	}
	c.mu.Lock()
	for c.flight >= dbusWindow && !c.ended && !c.closed {
		c.changed.Wait()
	}
	if c.ended || c.closed {
		c.mu.Unlock()
		return 0, io.ErrClosedPipe
	}
	c.flight += len(b)
	c.mu.Unlock()
	words := make([]uint64, len(b)/8)
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(b[i*8:])
	}
	if err := c.send(dbusData, words); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (c *dbusConn) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// next takes the next message from the queue.
func (c *dbusConn) next() error {
	c.mu.Lock()
	for len(c.queue) == 0 && !c.ended && !c.closed {
		c.changed.Wait()
	}
	if len(c.queue) == 0 {
		defer c.mu.Unlock()
		if c.closed {
			return net.ErrClosed
		}
		return io.EOF
	}
	words := c.queue[0]
	c.queue = c.queue[1:]
	credit := 0
	if c.credit += len(words) * 8; c.credit >= dbusWindow/2 {
		credit, c.credit = c.credit, 0
	}
	c.mu.Unlock()
	c.rest = make([]byte, len(words)*8)
	for i, w := range words {
		binary.LittleEndian.PutUint64(c.rest[i*8:], w)
	}
	if credit > 0 {
		return c.send(dbusCredit, uint32(credit))
	}
	return nil
}

func (c *dbusConn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return net.ErrClosed
	}
	c.closed = true
	c.changed.Broadcast()
	c.mu.Unlock()
	err := c.send(dbusClose)
	if c.closeBus != nil {
		return c.closeBus()
	}
	return err
}

func (c *dbusConn) LocalAddr() net.Addr            { return dbusAddr(c.bus.Names()[0]) }
func (c *dbusConn) RemoteAddr() net.Addr           { return dbusAddr(c.peer) }
func (*dbusConn) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (*dbusConn) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (*dbusConn) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }
