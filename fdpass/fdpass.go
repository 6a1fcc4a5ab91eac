// Package fdpass passes descriptors between processes over a unix stream
// socket, together with a frame of bytes of fixed length.
//
// The descriptors belong to byte 0 of the frame. [Receive] accepts exactly the
// number it asks for, all on that byte, and closes whatever else comes: the
// sender is not trusted. The kernel's side is described in unix(7), cmsg(3) and
// recvmsg(2).
//
// Descriptors are plain ints here, since an *os.File made of a non-blocking one
// registers it with the runtime's poller, which neither the sender nor the
// receiver of an eventfd that it only rings wants, and which a hostile
// descriptor can use to block its receiver.
//
// On systems other than Linux all functions return [errors.ErrUnsupported].
package fdpass

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// MaxFDs is the largest number of descriptors that one frame can carry:
// SCM_MAX_FD of Linux's include/net/scm.h.
const MaxFDs = 253

// ErrDescriptors is wrapped by the error of [Receive] when other descriptors
// arrived than were asked for. The text says what came instead.
var ErrDescriptors = errors.New("unexpected descriptors")

// Send writes frame to c with the descriptors fds on its first byte. The frame
// has at least one byte. The descriptors stay open and the caller's: the
// receiver gets duplicates, which share the open file description, so that file
// offset and O_NONBLOCK are common to both.
//
// Send obeys c's write deadline. The errors are those of c, among them
// ETOOMANYREFS when as many descriptors as RLIMIT_NOFILE allows are on their way
// in sockets whose receivers have not read them. After an error the peer may
// have received the descriptors and a part of the frame; c is then good for
// nothing but Close.
//
// No other write to c may run at the same time: a long frame can take several
// system calls.
func Send(c *net.UnixConn, frame []byte, fds ...int) error {
	if err := checkArgs(c, frame, len(fds)); err != nil {
		return err
	}
	return send(c, frame, fds)
}

// Receive fills frame from c and returns the n descriptors that came with its
// first byte, in the order in which they were sent. The frame has at least one
// byte; n is 0 to [MaxFDs]. The caller owns the descriptors. They are
// close-on-exec and otherwise as the sender made them: of any kind, blocking or
// not.
//
// With any error no descriptor is returned and all that came are closed:
//   - [ErrDescriptors] if fewer or more than n came, or some with another byte
//     than the first, or control data of another kind;
//   - bare io.EOF at the end of the stream before the first byte, and bare
//     io.ErrUnexpectedEOF within the frame;
//   - otherwise the error of c, in particular at its read deadline.
//
// After an error it is unknown where in the stream c stands, but for one:
// [ErrDescriptors] together with EMFILE says that the kernel could not install
// what came with byte 0, most likely because RLIMIT_NOFILE is reached. The other
// bytes of the frame are unread then.
//
// Receive never reads beyond the frame. No other read from c may run at the same
// time. It closes before it returns, and close(2) of a hostile descriptor can
// block: of a file of a file system in user space, or of a TCP socket with
// SO_LINGER and unsent data. So can the receipt of more descriptors than n, as
// the kernel then releases those that there is no room for. A process that must
// not depend on its peer's good will in this does not receive descriptors from
// it, or does so on a goroutine that it can leave behind.
func Receive(c *net.UnixConn, frame []byte, n int) ([]int, error) {
	if err := checkArgs(c, frame, n); err != nil {
		return nil, err
	}
	return receive(c, frame, n, closeAll)
}

// ReceiveDiscard is [Receive] for a process that must not be held up by what it
// refuses: instead of closing descriptors it calls discard, which owns them then
// and can close them elsewhere. The receipt of more descriptors than n can still
// block.
func ReceiveDiscard(c *net.UnixConn, frame []byte, n int, discard func(fds []int)) ([]int, error) {
	if err := checkArgs(c, frame, n); err != nil {
		return nil, err
	}
	return receive(c, frame, n, discard)
}

// Borrow calls do with the descriptors of files, in their order. They stay open
// until do returns, even if a file is closed meanwhile; that Close may then have
// to wait. It bridges from *os.File and net's types to [Send] without
// os.File.Fd, which promises no such thing and sets the descriptor blocking.
// The descriptors must not be used after do. The error is that of do, or wraps
// [os.ErrClosed] if a file is closed already; do was not called then.
func Borrow(do func(fds []int) error, files ...syscall.Conn) error {
	return borrow(do, files, make([]int, 0, len(files)))
}

func borrow(do func(fds []int) error, files []syscall.Conn, fds []int) error {
	if len(files) == 0 {
		return do(fds)
	}
	conn, err := files[0].SyscallConn()
	if err != nil {
		return fmt.Errorf("fdpass: %w", err)
	}
	var doErr error
	// Control fails for closed files only; the error of an *os.File matches no
	// exported one.
	if err := conn.Control(func(fd uintptr) {
		doErr = borrow(do, files[1:], append(fds, int(fd)))
	}); err != nil {
		return fmt.Errorf("fdpass: %w", os.ErrClosed)
	}
	return doErr
}

func checkArgs(c *net.UnixConn, frame []byte, n int) error {
	switch {
	case len(frame) == 0:
		// A stream carries control data with a byte only; package net would
		// send and consume a byte that nobody asked for.
		return fmt.Errorf("fdpass: empty frame: %w", os.ErrInvalid)
	case n < 0 || n > MaxFDs:
		return fmt.Errorf("fdpass: %d descriptors, want 0 to %d: %w", n, MaxFDs, os.ErrInvalid)
	}
	if c != nil {
		// Datagram sockets, which would cut frames, have another network name.
		if a, ok := c.LocalAddr().(*net.UnixAddr); ok && a.Net == "unix" {
			return nil
		}
	}
	return fmt.Errorf("fdpass: not a unix stream socket: %w", os.ErrInvalid)
}
