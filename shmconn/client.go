package shmconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/shmconn/shmconn/fdpass"
	"github.com/shmconn/shmconn/internal/doorbell"
	"github.com/shmconn/shmconn/internal/wire"
	"github.com/shmconn/shmconn/memfd"
	"github.com/shmconn/shmconn/ring"
)

// handshake is the client's side. It returns a *Conn or, when the server
// offers no shared memory and strict is not set, the socket as a plain
// connection. After an error the socket is still the caller's.
func (d *Dialer) handshake(ctx context.Context, sock *net.UnixConn, strict bool, path string) (net.Conn, error) {
	var first []byte
	limit := greetingTimeout
	if strict {
		limit = handshakeTimeout
	}
	err := withDeadline(ctx, sock.SetDeadline, time.Now().Add(limit), func() (err error) {
		first, err = readFrame(sock, tryReadBare)
		return err
	})
	if err == nil {
		_, err = wire.Decode(first, wire.Greeting)
	}
	var sys *os.SyscallError
	switch {
	case err == nil:
	case ctx.Err() != nil, errors.As(err, &sys) && !errors.Is(err, syscall.ECONNRESET):
		return nil, fmt.Errorf("receive greeting: %w", err)
	case strict:
		return nil, fmt.Errorf("server does not offer shared memory: %w", err)
	case errors.Is(err, os.ErrDeadlineExceeded) && len(first) == 0:
		plainServers.add(path)
		return newPlainConn(sock, nil, wire.Greeting), nil
	default:
		// The server speaks first, and something else; or it has closed.
		return newPlainConn(sock, first, 0), nil
	}

	var conn net.Conn
	err = withDeadline(ctx, sock.SetDeadline, time.Now().Add(handshakeTimeout), func() (err error) {
		conn, err = d.negotiate(sock, strict)
		return err
	})
	return conn, err
}

// negotiate asks for shared memory and takes what the server offers.
func (d *Dialer) negotiate(sock *net.UnixConn, strict bool) (net.Conn, error) {
	size := uint64(d.RingSize)
	hello := wire.Frame{Version: wire.Version, Kind: wire.Hello, ToClient: size, ToServer: size}
	if _, err := sock.Write(hello.Encode()); err != nil {
		return nil, fmt.Errorf("send hello: %w", err)
	}
	frame, err := readFrame(sock, tryReadBareAhead)
	if err != nil {
		return nil, fmt.Errorf("receive offer: %w", err)
	}
	offer, err := wire.Decode(frame, wire.Offer)
	if err != nil {
		return nil, fmt.Errorf("receive offer: %w", err)
	}
	if offer.Status != wire.OK {
		if offer.Status == wire.Plain && !strict {
			return newPlainConn(sock, nil, 0), nil
		}
		if offer.Status == wire.Busy {
			return nil, fmt.Errorf("%w: %w", ErrLimit, wire.Refusal(offer.Status))
		}
		return nil, wire.Refusal(offer.Status)
	}
	frame, fds, err := receiveMemory(sock)
	if err != nil && !errors.Is(err, fdpass.ErrDescriptors) {
		return nil, fmt.Errorf("receive memory: %w", err)
	}
	var conn *Conn
	if err == nil {
		conn, err = takeMemory(sock, offer, frame, fds)
	}
	verdict := wire.Frame{Version: wire.Version, Kind: wire.Accept, Files: err == nil}
	if err != nil {
		err = fmt.Errorf("unusable offer: %w", err)
		if strict {
			return nil, err
		}
		// What makes an offer unusable here, such as a kernel that does not
		// enforce seals, is no reason not to talk at all.
		verdict.Status = wire.Plain
		if _, werr := sock.Write(verdict.Encode()); werr != nil {
			return nil, err // the server has most likely died before
		}
		return newPlainConn(sock, nil, 0), nil
	}
	conn.setSpinBudget(d.SpinBudget)
	inlineOutOfBand(sock)
	if _, err := sock.Write(verdict.Encode()); err != nil {
		conn.Close()
		return nil, fmt.Errorf("send verdict: %w", err)
	}
	return conn, nil
}

// The descriptors in a memory frame, in this order.
const (
	serverMemory = iota // memory that the server writes, writer-sealed
	clientMemory        // memory that the client is to write, size-sealed
	serverBell          // doorbell that the server waits on
	clientBell          // doorbell that the client waits on
	memoryFDs
)

// receiveMemory receives the memory frame. After an error that wraps
// fdpass.ErrDescriptors all of it has been read, so that the socket can be used
// as it is; after any other error nobody knows what comes next.
func receiveMemory(sock *net.UnixConn) (frame []byte, fds []int, err error) {
	frame = make([]byte, wire.FrameSize)
	if _, err := readRaw(sock, tryPeek, frame); err != nil {
		return nil, nil, err
	}
	unblocked(func() {
		fds, err = fdpass.ReceiveDiscard(sock, frame[:1], memoryFDs, closeLater)
		if err != nil && !errors.Is(err, fdpass.ErrDescriptors) {
			return
		}
		// Also when the descriptors are not those expected, most likely because
		// our table is full or the server could not send any: what is left of
		// the frame is not for the application.
		if _, rest := fdpass.ReceiveDiscard(sock, frame[1:], 0, closeLater); rest != nil {
			closeLater(fds)
			if errors.Is(rest, fdpass.ErrDescriptors) {
				rest = errDescriptors
			}
			fds, err = nil, rest
		}
	})
	return frame, fds, err
}

// takeMemory makes a connection of a memory frame and its descriptors, which it
// owns. Nothing about them is trusted: each is checked before its first use, by
// means that cannot block.
func takeMemory(sock *net.UnixConn, offer wire.Frame, frame []byte, fds []int) (_ *Conn, err error) {
	e := ends{peerBell: fds[serverBell], files: true}
	defer func() {
		if err != nil {
			e.discard()
			// Closing what is not what it should be can block in a file system
			// that the peer controls.
			closeLater(fds)
		}
	}()
	memory, err := wire.Decode(frame, wire.Memory)
	if err != nil {
		return nil, err
	}
	for _, size := range []uint64{offer.ToClient, offer.ToServer} {
		if size < minRingSize || size > ring.MaxCapacity || !ring.ValidCapacity(int(size)) {
			return nil, fmt.Errorf("%w: ring of %d bytes", wire.ErrMalformed, size)
		}
	}
	for _, i := range []int{serverBell, clientBell} {
		if err := doorbell.Verify(fds[i]); err != nil {
			return nil, err
		}
	}

	size := fileSize(int(offer.ToServer))
	mine, err := memfd.Adopt(fds[clientMemory], "shmconn-client", size, memfd.SizeSealed)
	if err != nil {
		return nil, err
	}
	fds[clientMemory] = -1
	defer mine.Close()
	if e.mine, err = memfd.MapReadWrite(mine, size); err != nil {
		return nil, err
	}
	if err := memfd.SealWriter(mine); err != nil {
		return nil, err
	}

	size = fileSize(int(offer.ToClient))
	theirs, err := memfd.Adopt(fds[serverMemory], "shmconn-server", size, memfd.WriterSealed)
	if err != nil {
		return nil, err
	}
	fds[serverMemory] = -1
	defer theirs.Close()
	if err := memfd.VerifyEnforced(theirs); err != nil {
		return nil, err
	}
	if e.theirs, err = memfd.MapReadOnly(theirs, size); err != nil {
		return nil, err
	}

	bell := fds[clientBell]
	fds[clientBell] = -1
	if e.bell, err = doorbell.Open(bell); err != nil {
		return nil, err
	}
	e.toFiles = memory.Files
	e.toPeer, e.toUs = int(offer.ToServer), int(offer.ToClient)
	cred, err := peerCredentials(sock)
	if err != nil {
		return nil, err
	}
	return newConn(sock, cred, e, unnamed, sock.RemoteAddr())
}
