package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/shmconn/shmconn/shmconn"
)

var catCommand = &command{
	name:     "cat",
	operands: "ADDRESS",
	brief:    "connect standard input and output, like nc -U",
	help: `
Connects to the address, or accepts one connection there with -l, and copies
standard input to it and what it answers to standard output. The end of input is
passed on as a half-close, and the command ends when the other side has ended too.
Addresses are
` + endpointHelp + `

Examples:
  shmconn cat -l shm:/tmp/s >copy
  shmconn cat shm:/tmp/s <file`,
	run: runCat,
}

func runCat(c *command, args []string) error {
	flags := c.flags()
	mode := modeFlag(0o600)
	listen := flags.Bool("l", false, "listen, and serve the first connection")
	flags.Var(&mode, "mode", "permissions of the socket file with -l, in `octal`")
	if err := c.parse(flags, args, 1, 1); err != nil {
		return err
	}
	e, err := parseEndpoint(flags.Arg(0))
	if err != nil {
		return err
	}

	// The signals matter as long as there is a socket file to remove.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var conn net.Conn
	if *listen {
		conn, err = c.acceptOne(ctx, e, fs.FileMode(mode))
	} else {
		conn, err = e.dial(ctx)
	}
	if err != nil {
		return err
	}
	stop()
	return join(conn.(stream))
}

// acceptOne listens on e until the first connection is there.
func (c *command) acceptOne(ctx context.Context, e endpoint, mode fs.FileMode) (net.Conn, error) {
	l, err := e.listen(ctx, mode, func(_ net.Conn, err error) { c.logf("client refused: %v", err) })
	if err != nil {
		return nil, err
	}
	defer l.Close()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		conn, err := l.Accept()
		var temporary interface{ Temporary() bool }
		switch {
		case err == nil:
			return conn, nil
		case ctx.Err() != nil:
			return nil, errors.New("interrupted")
		case !errors.As(err, &temporary) || !temporary.Temporary():
			return nil, err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// join copies standard input to conn, which it owns, and conn to standard output, until both have
// ended, or conn has.
func join(conn stream) error {
	defer conn.Close()
	var sendErr error
	sent, received := make(chan error), make(chan error)
	go func() {
		_, err := copyStream(conn, os.Stdin)
		conn.CloseWrite()
		sent <- err
	}()
	go func() {
		_, err := copyStream(os.Stdout, conn)
		received <- err
	}()
	// A read of standard input cannot be interrupted, but the process can end without it.
	for gone := time.NewTicker(100 * time.Millisecond); ; {
		select {
		case sendErr = <-sent:
			sent = nil // if it has failed, the other side may still say why
		case err := <-received:
			if err != nil {
				return err
			}
			received = nil
		case <-gone.C:
			// The other side may have ended its own stream and still be reading ours. If not, there is
			// no use in waiting for input.
			if c, ok := conn.(*shmconn.Conn); ok && received == nil {
				if _, err := c.Write(nil); err != nil {
					return nil
				}
			}
		}
		if sent == nil && received == nil {
			return sendErr
		}
	}
}

// copyStream is io.Copy, but if either end is shared memory, that does the copying: to and from a file
// it does without a buffer.
func copyStream(dst io.Writer, src io.Reader) (int64, error) {
	if c, ok := src.(*shmconn.Conn); ok {
		return c.WriteTo(dst)
	}
	if c, ok := dst.(*shmconn.Conn); ok {
		return c.ReadFrom(src)
	}
	return io.Copy(dst, src)
}
