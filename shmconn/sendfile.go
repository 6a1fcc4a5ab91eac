package shmconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/shmconn/shmconn/fdpass"
	"github.com/shmconn/shmconn/internal/wire"
	"github.com/shmconn/shmconn/memfd"
)

// Files go over the socket that the handshake has left, beside the bytes in the
// rings: a frame each, with the descriptor on byte 0. What can be wrong with one
// falls in two classes. What an honest peer may do, as to send a file that is
// larger than this end wants, or what this end lacks, is an error of the one
// call. What breaks the protocol condemns the connection, so that a peer can
// have one descriptor that blocks whoever closes it put into this process, and
// not one after another.

// files is the state of a connection's passing of files.
type files struct {
	take   bool // we take files
	toPeer bool // the peer does

	sending   turn
	receiving turn
	ended     error // what ReceiveFile fails with for ever; held by receiving
}

func newFiles(e ends) files {
	return files{take: e.files, toPeer: e.toFiles, sending: make(turn, 1), receiving: make(turn, 1)}
}

// A turn is a mutex for which one waits no longer than a context lives.
type turn chan struct{}

func (t turn) take(ctx context.Context) error {
	if ctx.Err() == nil {
		select {
		case t <- struct{}{}:
			return nil
		case <-ctx.Done():
		}
	}
	return context.Cause(ctx)
}

func (t turn) release() { <-t }

// SendFile passes a memory file to the peer, which maps the same memory by
// ReceiveFile: nothing is copied. The content of f must be final, as that of the
// files which [memfd.WriteOnce] makes; what else [memfd.ReadOnly] would refuse is
// refused here, with an error that wraps [memfd.ErrUnsafe]. f stays the caller's,
// who can close it afterwards or send it to others. The memory lives as long as
// anybody has the file open or mapped.
//
// Files keep their order among themselves. What was sent before a Write is there
// when the peer has read what that wrote; otherwise files and bytes, with their
// deadlines and half-closes, have nothing to do with each other. The peer need
// not be receiving: some 200 files fit into the socket, after which SendFile
// waits until there is room, ctx ends or either end closes.
//
// The error is a *net.OpError that wraps ctx's cause, net.ErrClosed,
// syscall.EPIPE when the peer is gone, ErrCorrupt, errors.ErrUnsupported when the
// peer takes no files, which servers have to be told to do
// ([ListenConfig.ReceiveFiles]), or syscall.ETOOMANYREFS when this user has more
// descriptors on their way, in any sockets, than RLIMIT_NOFILE allows. The file
// was not sent then, and the connection is as it was.
func (c *Conn) SendFile(ctx context.Context, f *os.File) error {
	return c.opError("write", c.sendFile(ctx, f))
}

func (c *Conn) sendFile(ctx context.Context, f *os.File) error {
	if err := c.lost(nil); err != nil {
		return err
	}
	if !c.files.toPeer {
		return fmt.Errorf("peer takes no files: %w", errors.ErrUnsupported)
	}
	if err := memfd.VerifyContent(f); err != nil {
		return err
	}
	if err := c.files.sending.take(ctx); err != nil {
		return err
	}
	defer c.files.sending.release()
	frame := wire.Frame{Version: wire.Version, Kind: wire.File}
	err := c.withSocket(ctx, c.sock.SetWriteDeadline, func() error {
		return fdpass.Borrow(func(fds []int) error { return fdpass.Send(c.sock, frame.Encode(), fds[0]) }, f)
	})
	if errors.Is(err, syscall.ECONNRESET) { // gone, with files of ours unread
		err = syscall.EPIPE
	}
	return err
}

// ReceiveFile waits for a file that the peer sends by SendFile, and maps its
// content, which nobody can change any more. The caller closes the view, whose
// memory is shared with the peer and outlives the connection.
//
// maxSize is how many bytes the caller is ready to map, which is not memory until
// it is read; then what the sender has left sparse may be charged to the reader.
// A larger file is closed, and the error wraps syscall.EFBIG. A file that finds no
// room in the descriptor table is lost, and the error wraps syscall.EMFILE. After
// these the next file can be received.
//
// Calls are served one after another. Other errors are io.EOF when the peer has
// closed, and every file has been received; and *net.OpError that wrap
// syscall.ECONNRESET when it has died instead, ctx's cause, net.ErrClosed,
// errors.ErrUnsupported on the connection of a server without
// [ListenConfig.ReceiveFiles], or ErrCorrupt when the peer has sent something else
// than a file whose content is final. The deadlines of the connection do not
// apply. A hostile peer can delay the return by up to 100 ms.
func (c *Conn) ReceiveFile(ctx context.Context, maxSize int64) (*memfd.View, error) {
	v, err := c.receiveFile(ctx, maxSize)
	if err != nil {
		return nil, c.opError("read", err)
	}
	return v, nil
}

func (c *Conn) receiveFile(ctx context.Context, maxSize int64) (*memfd.View, error) {
	if maxSize <= 0 {
		return nil, fmt.Errorf("file of at most %d bytes: %w", maxSize, os.ErrInvalid)
	}
	if err := c.lost(nil); err != nil {
		return nil, err
	}
	if !c.files.take {
		return nil, fmt.Errorf("ListenConfig.ReceiveFiles is not set: %w", errors.ErrUnsupported)
	}
	if err := c.files.receiving.take(ctx); err != nil {
		return nil, err
	}
	defer c.files.receiving.release()
	if c.files.ended != nil {
		return nil, c.lost(c.files.ended)
	}
	err := c.withSocket(ctx, c.sock.SetReadDeadline, c.awaitFile)
	if err == nil {
		var v *memfd.View
		if v, err = c.takeFile(maxSize); err == nil {
			return v, nil
		}
	}
	switch {
	case errors.Is(err, errBroken):
		c.condemn()
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	case err == io.EOF || errors.Is(err, syscall.ECONNRESET):
		err = c.departure()
		c.files.ended = err
	}
	return nil, err
}

// errBroken is wrapped by the errors of files that no honest peer sends.
var errBroken = errors.New("not a file as it should be sent")

// awaitFile waits until a file is there, and leaves it there: what is to come
// does not wait and cannot be interrupted halfway. A frame is sent by one system
// call, for which the kernel takes 32 bytes or none, so that there are no
// honest halves of one.
func (c *Conn) awaitFile() error {
	frame := make([]byte, wire.FrameSize)
	raw, err := c.sock.SyscallConn()
	if err != nil {
		return err
	}
	n, peekErr := 0, error(nil)
	if err := raw.Read(func(fd uintptr) bool {
		n, peekErr = tryPeek(fd, frame)
		return peekErr != errNothing
	}); err != nil {
		return err
	}
	if peekErr != nil {
		return peekErr
	}
	if _, err := wire.Decode(frame[:n], wire.File); err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	return nil
}

// takeFile receives and maps the file that awaitFile has found.
func (c *Conn) takeFile(maxSize int64) (_ *memfd.View, err error) {
	var fds []int
	unblocked(func() {
		// More descriptors than one are dropped by the kernel, which may block
		// until a signal comes.
		frame := make([]byte, wire.FrameSize)
		fds, err = fdpass.ReceiveDiscard(c.sock, frame, 1, closeLater)
		if errors.Is(err, syscall.EMFILE) {
			if _, err := io.ReadFull(c.sock, frame[1:]); err != nil {
				return
			}
		}
	})
	if errors.Is(err, fdpass.ErrDescriptors) && !errors.Is(err, syscall.EMFILE) {
		err = fmt.Errorf("%w: %w", errBroken, err)
	}
	if err != nil {
		return nil, c.lost(err)
	}
	// Nothing about the descriptor is trusted: its seals are asked for first,
	// which no file can answer by blocking.
	v, err := memfd.ReadOnlyFD(fds[0], maxSize)
	if errors.Is(err, memfd.ErrUnsafe) {
		closeLater(fds)
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	closeFD(fds[0]) // memory, whose close does not block
	return v, err
}

// withSocket runs f, which waits for the socket under the deadline that set sets,
// until ctx ends.
func (c *Conn) withSocket(ctx context.Context, set func(time.Time) error, f func() error) error {
	err := withDeadline(ctx, func(t time.Time) error {
		c.dl.Lock()
		defer c.dl.Unlock()
		if c.status.Load()&stCorrupt != 0 {
			return nil // it is in the past, and stays there
		}
		return set(t)
	}, time.Time{}, f)
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, cause) {
		err = cause
	}
	return c.lost(err)
}

// lost returns err, unless the connection is of no use any more, which then is
// the reason.
func (c *Conn) lost(err error) error {
	switch status := c.status.Load(); {
	case status&stClosed != 0:
		return net.ErrClosed
	case status&stCorrupt != 0:
		return ErrCorrupt
	}
	return err
}

// departure returns how the peer, whose end of the socket is closed, has gone:
// io.EOF if it has said so before, and ECONNRESET if it has died.
func (c *Conn) departure() error {
	c.life.Lock()
	defer c.life.Unlock()
	switch {
	case c.mine == nil:
		return net.ErrClosed
	case c.in.ring.WriteClosed():
		return io.EOF
	}
	return syscall.ECONNRESET
}
