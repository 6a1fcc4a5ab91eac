package shmconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/shmconn/shmconn/fdpass"
	"github.com/shmconn/shmconn/internal/doorbell"
	"github.com/shmconn/shmconn/internal/wire"
	"github.com/shmconn/shmconn/memfd"
	"github.com/shmconn/shmconn/ring"
)

// helloTimeout is how long a server waits for the hello of a client that has
// marked itself. A client that has lost patience with an overloaded server
// uses the socket as it is, and may be waiting for the application to speak
// first: it gets the application then.
const helloTimeout = time.Second

// errPlainClient is the reason for which network "shm" refuses a client.
var errPlainClient = errors.New("client does not use shared memory")

// upgrade is the server's side of the handshake. It returns a *Conn or, when
// the client does not want shared memory and l is not strict, a plain
// connection.
func (l *Listener) upgrade(ctx context.Context, conn net.Conn) (net.Conn, error) {
	if err := l.lc.authorize(conn); err != nil {
		return nil, err
	}
	sock, ok := conn.(*net.UnixConn)
	switch {
	case ok && marked(sock):
		refuseDescriptors(sock)
		return l.handshake(ctx, sock)
	case !l.strict:
		return conn, nil
	}
	return nil, errPlainClient
}

// handshake is upgrade for a client that has marked itself.
func (l *Listener) handshake(ctx context.Context, sock *net.UnixConn) (net.Conn, error) {
	var first []byte
	err := withDeadline(ctx, sock.SetDeadline, time.Now().Add(helloTimeout), func() (err error) {
		greeting := wire.Frame{Version: wire.Version, Kind: wire.Greeting}
		if _, err := sock.Write(greeting.Encode()); err != nil {
			return err
		}
		first, err = readFrame(sock, tryReadBare)
		return err
	})
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, fmt.Errorf("receive hello: %w", err)
	case errors.Is(err, wire.ErrNotFrame) && !l.strict:
		return newPlainConn(sock, first, 0), nil
	case errors.Is(err, os.ErrDeadlineExceeded) && len(first) == 0 && !l.strict:
		return newPlainConn(sock, nil, wire.Hello), nil
	default:
		return nil, fmt.Errorf("receive hello: %w", err)
	}

	hello, err := wire.Decode(first, wire.Hello)
	offer := wire.Frame{Version: wire.Version, Kind: wire.Offer}
	switch {
	case errors.Is(err, wire.ErrVersion):
		offer.Status = wire.BadVersion
	case err != nil:
		offer.Status = wire.BadRequest
	default:
		offer.Status, err = l.lc.sizes(hello, &offer)
	}
	var result net.Conn
	answerErr := withDeadline(ctx, sock.SetDeadline, time.Time{}, func() (err error) {
		if offer.Status != wire.OK {
			_, err = sock.Write(offer.Encode())
			return err
		}
		result, err = l.offer(sock, offer)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("hello: %w", err)
	}
	return result, answerErr
}

// marked reports whether the client says that it speaks the protocol.
func marked(sock *net.UnixConn) bool {
	addr, ok := sock.RemoteAddr().(*net.UnixAddr)
	return ok && strings.HasPrefix(addr.Name, wire.MarkPrefix)
}

// sizes decides on the rings' capacities.
func (lc *ListenConfig) sizes(hello wire.Frame, offer *wire.Frame) (wire.Status, error) {
	for _, d := range []struct {
		want  uint64
		given *uint64
	}{{hello.ToClient, &offer.ToClient}, {hello.ToServer, &offer.ToServer}} {
		if d.want > ring.MaxCapacity {
			return wire.BadRequest, fmt.Errorf("client asks for a ring of %d bytes", d.want)
		}
		if err := checkRingSize(int(d.want)); err != nil {
			return wire.BadRequest, err
		}
		size := d.want
		if size == 0 {
			size = uint64(lc.ringSize())
		}
		*d.given = min(size, uint64(lc.maxRingSize()))
	}
	return wire.OK, nil
}

// offer makes the connection's memory, hands the client its share and waits
// for the verdict.
func (l *Listener) offer(sock *net.UnixConn, offer wire.Frame) (_ net.Conn, err error) {
	cred, err := peerCredentials(sock)
	if err != nil {
		return l.decline(sock, err)
	}
	account, err := l.ledger.account(cred.UID, fileSize(int(offer.ToClient))+fileSize(int(offer.ToServer)))
	if err != nil {
		return l.decline(sock, err)
	}
	var conn *Conn
	defer func() {
		if conn == nil {
			account.close(nil, 0, 0) // after m.close
		}
	}()
	m, err := newMemory(offer)
	if err != nil {
		// Out of descriptors or memory, or forbidden to make any.
		return l.decline(sock, err)
	}
	defer m.close()
	if _, err := sock.Write(offer.Encode()); err != nil {
		return nil, err
	}
	read := tryReadBare
	if l.lc.ReceiveFiles {
		// Before the client can know, whose first file may follow its accept
		// at once.
		acceptDescriptors(sock)
		read = tryReadBareAhead
	}
	if err := m.send(sock, l.lc.ReceiveFiles); err != nil {
		// The kernel passes none, such as when as many of this user's are on
		// their way as a process may have open (ETOOMANYREFS, too_many_unix_fds
		// in net/unix). A frame without descriptors has the client decline.
		none := wire.Frame{Version: wire.Version, Kind: wire.Memory}
		if _, werr := sock.Write(none.Encode()); werr != nil || l.strict {
			return nil, fmt.Errorf("send memory: %w", err)
		}
	}

	frame, err := readFrame(sock, read)
	if err != nil {
		return nil, fmt.Errorf("receive verdict: %w", err)
	}
	verdict, err := wire.Decode(frame, wire.Accept)
	switch {
	case err != nil:
		return nil, fmt.Errorf("receive verdict: %w", err)
	case verdict.Status == wire.Plain && !l.strict:
		refuseDescriptors(sock)
		return newPlainConn(sock, nil, 0), nil
	case verdict.Status != wire.OK:
		return nil, fmt.Errorf("client declines with status %d", verdict.Status)
	}
	if conn, err = m.conn(sock, cred, l.lc.ReceiveFiles, verdict.Files); err != nil {
		return nil, err
	}
	conn.setSpinBudget(l.lc.SpinBudget)
	account.connected(conn)
	return conn, nil
}

// decline tells the client that there is no memory for it now.
func (l *Listener) decline(sock *net.UnixConn, reason error) (net.Conn, error) {
	offer := wire.Frame{Version: wire.Version, Kind: wire.Offer, Status: wire.Plain}
	if l.strict && errors.Is(reason, ErrLimit) {
		offer.Status = wire.Busy
	}
	if _, err := sock.Write(offer.Encode()); err != nil || l.strict {
		return nil, reason
	}
	l.log(sock, "client gets no shared memory", reason)
	return newPlainConn(sock, nil, 0), nil
}

// memory is what a server makes for one connection, until it is divided.
type memory struct {
	server, client         *os.File // the memory files
	toClient, toServer     int      // capacities of the rings
	serverSize, clientSize int64
	mine                   []byte // the server's, mapped
	serverBell, clientBell int    // descriptors, -1 when not ours any more
}

func newMemory(offer wire.Frame) (_ *memory, err error) {
	m := &memory{
		toClient:   int(offer.ToClient),
		toServer:   int(offer.ToServer),
		serverSize: fileSize(int(offer.ToClient)),
		clientSize: fileSize(int(offer.ToServer)),
		serverBell: -1,
		clientBell: -1,
	}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if m.server, err = memfd.Create("shmconn-server", m.serverSize); err != nil {
		return nil, err
	}
	if m.mine, err = memfd.MapReadWrite(m.server, m.serverSize); err != nil {
		return nil, err
	}
	if err := memfd.SealWriter(m.server); err != nil {
		return nil, err
	}
	if m.client, err = memfd.Create("shmconn-client", m.clientSize); err != nil {
		return nil, err
	}
	if m.serverBell, err = doorbell.Create(); err != nil {
		return nil, err
	}
	if m.clientBell, err = doorbell.Create(); err != nil {
		return nil, err
	}
	return m, nil
}

// send sends the descriptors to the client.
func (m *memory) send(sock *net.UnixConn, takesFiles bool) error {
	frame := wire.Frame{Version: wire.Version, Kind: wire.Memory, Files: takesFiles}
	return fdpass.Borrow(func(files []int) error {
		var fds [memoryFDs]int
		fds[serverMemory], fds[clientMemory] = files[0], files[1]
		fds[serverBell], fds[clientBell] = m.serverBell, m.clientBell
		return fdpass.Send(sock, frame.Encode(), fds[:]...)
	}, m.server, m.client)
}

// conn makes the server's end of the connection, once the client has accepted.
// It takes its share out of m.
func (m *memory) conn(sock *net.UnixConn, cred Credentials, files, toFiles bool) (_ *Conn, err error) {
	e := ends{mine: m.mine, toPeer: m.toClient, toUs: m.toServer, peerBell: m.clientBell, files: files, toFiles: toFiles}
	m.mine, m.clientBell = nil, -1
	defer func() {
		if err != nil {
			e.discard()
			closeFD(e.peerBell)
		}
	}()
	// The file is our own, but the client could have kept it from being sealed.
	if err := memfd.Verify(m.client, m.clientSize, memfd.WriterSealed); err != nil {
		return nil, err
	}
	if err := memfd.VerifyEnforced(m.client); err != nil {
		return nil, err
	}
	if e.theirs, err = memfd.MapReadOnly(m.client, m.clientSize); err != nil {
		return nil, err
	}
	bell := m.serverBell
	m.serverBell = -1
	if e.bell, err = doorbell.Open(bell); err != nil {
		return nil, err
	}
	return newConn(sock, cred, e, sock.LocalAddr(), unnamed)
}

// close releases what is still m's.
func (m *memory) close() {
	if m.mine != nil {
		memfd.Unmap(m.mine)
	}
	for _, f := range []*os.File{m.server, m.client} {
		if f != nil {
			f.Close()
		}
	}
	closeAll([]int{m.serverBell, m.clientBell})
}
