package shmconn

import (
	"io"
	"net"
	"os"
	"syscall"
)

// statusError returns the error of a Write that status has ended.
func statusError(status uint32) error {
	if status&stCorrupt != 0 {
		return ErrCorrupt
	}
	return syscall.EPIPE
}

// opError gives err the form in which package net returns it. nil and io.EOF
// stay as they are: callers compare them with ==.
func (c *Conn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	// A timed-out read is part of each request that net/http serves: the
	// common types are looked at by hand, as errors.As takes longer.
	switch already := err.(type) {
	case syscall.Errno:
		err = os.NewSyscallError(op, already)
	case *net.OpError:
		err = already.Err
	}
	e := &net.OpError{Op: op, Net: "unix", Source: c.local, Addr: c.far, Err: err}
	if op == "set" {
		e.Source, e.Addr = nil, c.local
	}
	return e
}
