// Package arm holds what the benchmark compares: for each kind of connection
// how to listen and how to dial.
package arm

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/shmconn/shmconn/bench/internal/work"
)

// An Arm is one way to connect two processes.
//
// A value is stateless; it is used in the client's process, the server's and
// the benchmark's own.
type Arm interface {
	// Name is short, unique, and fit for a column of a table.
	Name() string

	// Does reports whether the arm can do a workload, and why not.
	Does(workload string) error

	// Listen listens in the server's process. The address is for Connect.
	Listen(env Env) (ln net.Listener, address string, err error)

	// Connect prepares to dial, in the client's process.
	Connect(env Env, workload, address string) (Dialer, error)
}

// A Dialer opens connections to one listener. Close releases what the
// connections had in common.
type Dialer interface {
	Dial() (net.Conn, error)
	Close() error
}

// An Env is what the benchmark provides to its processes.
type Env struct {
	// Dir is a directory for sockets.
	Dir string
	// Bus is the address of the D-Bus daemon, empty without one.
	Bus string
}

var sockets atomic.Uint64

// socketPath returns the name of a socket that does not exist in any process
// of the benchmark. Socket names are at most 107 bytes long (unix(7)), so it
// is short.
func (e Env) socketPath() string {
	return filepath.Join(e.Dir, fmt.Sprintf("%d-%d.sock", os.Getpid(), sockets.Add(1)))
}

// Names of arms that the report speaks of.
const (
	Shmconn = "shmconn"
	Unix    = "unix"
	Shmipc  = "shmipc"
	DBus    = "dbus"
	Pipe    = "pipe"
	CRing   = "c-ring" // not an Arm: a C program measured by itself
)

// All returns every arm, in the order of the report.
func All() []Arm {
	return []Arm{
		shmconnArm{},
		unixArm{},
		tcpArm{},
		shmipcArm{},
		dbusArm{},
		pipeArm{},
	}
}

// ByName returns the arm with the given name.
func ByName(name string) (Arm, error) {
	for _, a := range All() {
		if a.Name() == name {
			return a, nil
		}
	}
	return nil, fmt.Errorf("no arm %q", name)
}

// everything is embedded by arms that do every workload.
type everything struct{}

func (everything) Does(string) error { return nil }

// dialFunc is a Dialer whose connections have nothing in common.
type dialFunc func() (net.Conn, error)

func (f dialFunc) Dial() (net.Conn, error) { return f() }
func (f dialFunc) Close() error            { return nil }

// messagesOnly is what arms answer that stand in for connections by sending
// messages, and have no use where a connection must be one.
func messagesOnly(arm, workload string) error {
	switch work.Kind(workload) {
	case "pingpong", "stream":
		return nil
	}
	return fmt.Errorf("%s does ping-pong and streams only", arm)
}
