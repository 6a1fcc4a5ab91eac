// Package peer runs the servers of the integration tests, each in a process of its own, and checks
// that the connections that they had were over shared memory.
package peer

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/shmconn/shmconn/shmconn"
)

// A Part is what a server's process does with its listener. It may return when it is done, which
// ends the process; an error fails the test.
type Part func(l net.Listener, args []string) error

// parts are all that have been registered. Only init functions change it.
var parts = map[string]Part{}

// Register gives a part the name by which [Start] starts it. Init functions call it.
func Register(name string, part Part) { parts[name] = part }

// childEnv names the part of this process in its environment.
const childEnv = "SHMCONN_INTEGRATION_PART"

// Main plays the part of this process, if it has one, and does not return then. TestMain calls it
// before all else.
func Main() {
	name, ok := os.LookupEnv(childEnv)
	if !ok {
		return
	}
	part, ok := parts[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "no part %q\n", name)
		os.Exit(2)
	}
	if err := play(part, os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// ready is the line by which a process tells that clients can connect.
const ready = "ready\n"

// play runs a part on the listener at path until it returns or the parent closes our standard
// input, if only by dying, and tells the parent what there was.
func play(part Part, path string, args []string) error {
	out := os.Stdout
	os.Stdout = os.Stderr // for all that servers print
	inner, err := listen(path)
	if err != nil {
		return err
	}
	l := &listener{Listener: inner}
	if _, err := io.WriteString(out, ready); err != nil {
		return err
	}
	ended := make(chan error, 2)
	go func() { ended <- part(l, args) }()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		ended <- nil
	}()
	if err := <-ended; err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(l.report())
}

// listen takes the socket over from the service manager if there is one, as services do.
func listen(path string) (net.Listener, error) {
	inherited, err := activation.Listeners()
	if err != nil {
		return nil, err
	}
	if len(inherited) == 0 {
		return shmconn.Listen("unix", path)
	}
	return shmconn.NewListener(inherited[0], nil), nil
}

// A Report tells what connections a process had.
type Report struct {
	Shared  int    // over shared memory
	Plain   int    // over the plain unix socket
	Read    uint64 // bytes that arrived through shared memory
	Written uint64 // bytes that were sent through it
}

// listener remembers what it accepts. The connections themselves are not wrapped.
type listener struct {
	net.Listener

	mu     sync.Mutex
	shared []*shmconn.Conn // guarded by mu
	plain  int             // guarded by mu
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s, ok := c.(*shmconn.Conn); ok {
		l.shared = append(l.shared, s)
	} else {
		l.plain++
	}
	return c, nil
}

func (l *listener) report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := Report{Shared: len(l.shared), Plain: l.plain}
	for _, c := range l.shared {
		s := c.Stats()
		r.Read += s.BytesRead
		r.Written += s.BytesWritten
	}
	return r
}
