package fdpass

import (
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

func send(c *net.UnixConn, frame []byte, fds []int) error {
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	// One sendmsg(2). The kernel may take only a part of a frame that is larger
	// than the room in the socket's send buffer; it attaches the descriptors to
	// the first bytes (net/unix/af_unix.c, unix_stream_sendmsg), so that the
	// rest goes without.
	n, _, err := c.WriteMsgUnix(frame, oob, nil)
	if err != nil || n == len(frame) {
		return err
	}
	_, err = c.Write(frame[n:])
	return err
}

func receive(c *net.UnixConn, frame []byte, n int, discard func(fds []int)) (_ []int, err error) {
	var fds []int
	defer func() {
		if err != nil && len(fds) > 0 {
			discard(fds)
		}
	}()

	// The attack: descriptors that come with another byte than agreed, to be
	// taken for those of another frame. Byte 0 is read alone, because the kernel
	// glues a buffer without descriptors to a following one with some: after a
	// single read of the whole frame nobody could tell to which byte they belong.
	_, fds, err = read(c, frame[:1], n)
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	for done := 1; err == nil && done < len(frame); {
		var k int
		var late []int
		k, late, err = read(c, frame[done:], 0)
		fds = append(fds, late...)
		done += k
	}
	if errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return fds, nil
}

// read fills a part of p from c. The descriptors that it returns have been
// installed in this process, also if there is an error; without one they are
// exactly n.
func read(c *net.UnixConn, p []byte, n int) (int, []int, error) {
	// Room for one descriptor more than wanted, so that a surplus shows as what
	// it is, and for no more, so that a hostile sender can not fill the
	// descriptor table: the kernel drops what has no room and sets MSG_CTRUNC.
	oob := make([]byte, unix.CmsgSpace(4*(n+1)))
	// Package net sets MSG_CMSG_CLOEXEC: set afterwards, the flag would come
	// too late for a child that is being forked.
	k, oobn, flags, _, err := c.ReadMsgUnix(p, oob)
	fds, ctlErr := parseControl(oob[:oobn])
	if err != nil {
		return k, fds, err
	}
	switch {
	case ctlErr != nil:
		err = ctlErr
	case flags&unix.MSG_CTRUNC != 0 && len(fds) < n:
		// There was room: the kernel stops early when the table is full, or
		// when a security module refuses a descriptor.
		err = fmt.Errorf("control data cut off after %d of them, want %d (is RLIMIT_NOFILE reached?): %w", len(fds), n, unix.EMFILE)
	case flags&unix.MSG_CTRUNC != 0:
		// A surplus, or SO_PASSPIDFD's message after the descriptors.
		err = fmt.Errorf("got %d and control data cut off behind them, want %d", len(fds), n)
	case len(fds) != n:
		err = fmt.Errorf("got %d, want %d", len(fds), n)
	}
	if err != nil {
		err = fmt.Errorf("fdpass: %w: %w", ErrDescriptors, err)
	}
	return k, fds, err
}

// closeAll ignores errors: there is nothing to be done about a descriptor that
// was not wanted in the first place.
func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
