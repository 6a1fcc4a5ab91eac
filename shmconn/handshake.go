package shmconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/shmconn/shmconn/internal/wire"
)

// A readFunc is [tryRead], [tryReadBare] or [tryReadBareAhead].
type readFunc func(fd uintptr, b []byte) (int, error)

// readFrame reads one handshake frame, or as much as there is until its bytes
// can no longer be one. The error is wire.ErrNotFrame in that case, io.EOF
// before the first byte, io.ErrUnexpectedEOF after.
func readFrame(sock *net.UnixConn, tryRead readFunc) ([]byte, error) {
	buf := make([]byte, 0, wire.FrameSize)
	for len(buf) < wire.FrameSize {
		n, err := readRaw(sock, tryRead, buf[len(buf):wire.FrameSize])
		buf = buf[:len(buf)+n]
		if !wire.Prefix(buf) {
			return buf, wire.ErrNotFrame
		}
		if err == io.EOF && len(buf) > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// readRaw is sock.Read by means of tryRead. It sleeps while there is nothing,
// rather than spin as a connection's Read does: the peer's next step takes it
// a dozen system calls, for which it needs the CPU more (dial, echo and close:
// 510 us and 780 us of CPU time with the spinning of a connection, 460 and 640
// without).
func readRaw(sock *net.UnixConn, tryRead readFunc, b []byte) (n int, err error) {
	raw, err := sock.SyscallConn()
	if err != nil {
		return 0, err
	}
	var readErr error
	err = raw.Read(func(fd uintptr) bool {
		n, readErr = tryRead(fd, b)
		return readErr != errNothing
	})
	if err != nil {
		return 0, err
	}
	return n, readErr
}

// errNothing reports that there is nothing to read yet.
var errNothing = errors.New("nothing to read")

// errDescriptors is the error of a handshake whose peer has attached
// descriptors to a frame that has none.
var errDescriptors = errors.New("frame with unexpected descriptors")

// withDeadline runs f with a deadline, the earlier of the given one, if it is
// not zero, and the end of ctx, and takes it off again. If it was the end of
// ctx that f ran into, the error wraps ctx's cause and ctx.Err is not nil.
func withDeadline(ctx context.Context, set func(time.Time) error, t time.Time, f func() error) error {
	d, ok := ctx.Deadline()
	contextual := ok && (t.IsZero() || d.Before(t))
	if contextual {
		t = d
	}
	set(t)
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		set(longAgo)
		close(interrupted)
	})
	err := f()
	if !stop() {
		<-interrupted
	}
	set(time.Time{})
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if contextual {
		<-ctx.Done() // its timer is due, but the socket's was faster
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%w: %v", cause, err) // the deadline was but the means
	}
	return err
}
