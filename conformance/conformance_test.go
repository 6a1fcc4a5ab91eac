package conformance_test

import (
	"net"
	"os"
	"testing"

	"github.com/shmconn/shmconn/conformance"
)

// unix is the reference.
var unix = conformance.Transport{
	Name:   "unix",
	Listen: func(path string) (net.Listener, error) { return net.Listen("unix", path) },
	Dial:   func(path string) (net.Conn, error) { return net.Dial("unix", path) },
}

func TestMain(m *testing.M) {
	conformance.Child(unix)
	os.Exit(m.Run())
}

func TestUnix(t *testing.T) { conformance.TestConn(t, unix.MakePipe()) }

func TestUnixTwoProcesses(t *testing.T) { conformance.TestTwoProcesses(t, unix) }
