package conformance

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// A request asks the child for one call. Requests are carried out concurrently; the reply with the
// same ID follows when the call has returned.
type request struct {
	ID   uint64
	Op   string
	Conn uint64 // the connection or listener that is meant
	N    int
	Data []byte
	Path string
	Time int64 // a deadline in Unix nanoseconds, 0 for none
	Task task
}

func (q *request) each(f *fields) {
	number(f, &q.ID)
	text(f, &q.Op)
	number(f, &q.Conn)
	number(f, &q.N)
	text(f, &q.Data)
	text(f, &q.Path)
	number(f, &q.Time)
	text(f, &q.Task.Op)
	number(f, &q.Task.N)
	number(f, &q.Task.Seed)
}

func packTime(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func unpackTime(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

type reply struct {
	ID            uint64
	Conn          uint64 // the connection or listener that was made
	N             int64
	Data          []byte
	Local, Remote addr
	Counts        counts
	Err           wireError
}

func (p *reply) each(f *fields) {
	number(f, &p.ID)
	number(f, &p.Conn)
	number(f, &p.N)
	text(f, &p.Data)
	p.Local.each(f)
	p.Remote.each(f)
	p.Counts.each(f)
	p.Err.each(f)
}

// An addr carries a net.Addr. The far end's type is kept only as far as it matters: unix or not.
type addr struct {
	Unix      bool
	Net, Text string
}

func (a *addr) each(f *fields) {
	flag(f, &a.Unix)
	text(f, &a.Net)
	text(f, &a.Text)
}

func packAddr(a net.Addr) addr {
	ua, ok := a.(*net.UnixAddr)
	if ok && ua == nil || a == nil {
		return addr{}
	}
	return addr{Unix: ok, Net: a.Network(), Text: a.String()}
}

func (a addr) unpack() net.Addr {
	if !a.Unix {
		return nil
	}
	return &net.UnixAddr{Net: a.Net, Name: a.Text}
}

// A wireError carries an error to the other process with all that the tests look at.
type wireError struct {
	Set, EOF         bool
	OpError          bool
	Op, Net          string
	Closed, Deadline bool
	Errno            uintptr
	Syscall          string // that of *os.SyscallError
	Text             string
}

func (w *wireError) each(f *fields) {
	flag(f, &w.Set)
	flag(f, &w.EOF)
	flag(f, &w.OpError)
	text(f, &w.Op)
	text(f, &w.Net)
	flag(f, &w.Closed)
	flag(f, &w.Deadline)
	number(f, &w.Errno)
	text(f, &w.Syscall)
	text(f, &w.Text)
}

func packError(err error) wireError {
	if err == nil {
		return wireError{}
	}
	w := wireError{
		Set:      true,
		EOF:      err == io.EOF,
		Closed:   errors.Is(err, net.ErrClosed),
		Deadline: errors.Is(err, os.ErrDeadlineExceeded),
		Text:     err.Error(),
	}
	if oe, ok := err.(*net.OpError); ok {
		w.OpError, w.Op, w.Net = true, oe.Op, oe.Net
	}
	if se := (*os.SyscallError)(nil); errors.As(err, &se) {
		w.Syscall = se.Syscall
	}
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		w.Errno = uintptr(errno)
	}
	return w
}

func (w wireError) unpack() error {
	if !w.Set {
		return nil
	}
	if w.EOF {
		return io.EOF
	}
	var err error
	switch {
	case w.Closed:
		err = net.ErrClosed
	case w.Deadline:
		err = os.ErrDeadlineExceeded
	case w.Syscall != "":
		err = os.NewSyscallError(w.Syscall, syscall.Errno(w.Errno))
	case w.Errno != 0:
		err = syscall.Errno(w.Errno)
	default:
		err = errors.New(w.Text)
	}
	if w.OpError {
		return &net.OpError{Op: w.Op, Net: w.Net, Err: err}
	}
	return fmt.Errorf("%w", err)
}
