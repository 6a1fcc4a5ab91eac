package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/shmconn/shmconn/shmconn"
)

// endpointHelp describes what parseEndpoint understands.
const endpointHelp = `
  shm:PATH        shared memory, and nothing else
  unix:PATH       shared memory if the other side can, else a plain unix socket
  plain:PATH      a plain unix socket
  tcp:HOST:PORT   TCP

A PATH that begins with @ is in the abstract namespace. PATH alone means unix:PATH.`

// endpoint is an address to listen on or to connect to.
type endpoint struct {
	network string // "shm", "unix" (both of package shmconn), "plain" or "tcp"
	address string
}

func (e endpoint) String() string { return e.network + ":" + e.address }

// parseEndpoint parses what endpointHelp describes.
func parseEndpoint(s string) (endpoint, error) {
	network, address, found := strings.Cut(s, ":")
	if !found || strings.ContainsAny(network, "/@") {
		network, address = "unix", s
	}
	e := endpoint{network, address}
	switch {
	case network != "shm" && network != "unix" && network != "plain" && network != "tcp":
		return e, usageErrorf("%q: unknown kind of address %q", s, network)
	case address == "":
		return e, usageErrorf("%q: the address is empty", s)
	case network == "tcp":
		if _, _, err := net.SplitHostPort(address); err != nil {
			return e, usageErrorf("%q: %v", s, err)
		}
	}
	return e, nil
}

// listen listens on e. A socket file gets the permissions mode. onError is told of clients whose
// handshake fails.
func (e endpoint) listen(ctx context.Context, mode fs.FileMode, onError func(net.Conn, error)) (net.Listener, error) {
	var l net.Listener
	var err error
	switch e.network {
	case "shm", "unix":
		lc := shmconn.ListenConfig{Mode: mode, OnError: onError}
		l, err = lc.Listen(ctx, e.network, e.address)
	case "plain":
		l, err = listenPlain(ctx, e.address, mode)
	default:
		l, err = net.Listen(e.network, e.address)
	}
	if errors.Is(err, syscall.EADDRINUSE) && e.network != "tcp" && e.address[0] != '@' {
		return nil, fmt.Errorf("%w (remove it if no process listens there any more)", err)
	}
	return l, err
}

// listenPlain is net.Listen("unix", path) with the permissions given.
func listenPlain(ctx context.Context, path string, mode fs.FileMode) (net.Listener, error) {
	// Taken away before the file is there, so that it never has more.
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return setSocketMode(raw, mode)
	}}
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil || path[0] == '@' {
		return l, err
	}
	// Added afterwards, as far as the umask has kept the file from having them.
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// dial connects to e.
func (e endpoint) dial(ctx context.Context) (net.Conn, error) {
	if e.network == "plain" {
		return new(net.Dialer).DialContext(ctx, "unix", e.address)
	}
	return new(shmconn.Dialer).DialContext(ctx, e.network, e.address)
}

// modeFlag is a flag for the permissions of a socket file.
type modeFlag fs.FileMode

func (m *modeFlag) String() string { return fmt.Sprintf("%#o", *m) }

func (m *modeFlag) Set(s string) error {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n == 0 || n > 0o777 {
		return errors.New("want octal permissions such as 0660")
	}
	*m = modeFlag(n)
	return nil
}
