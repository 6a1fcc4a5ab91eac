package shmconn_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/shmconn/shmconn/conformance"
	"github.com/shmconn/shmconn/shmconn"
)

// transport makes connections over rings of ringSize bytes, zero meaning the default. The network
// is "shm", so that what is tested is never a plain unix socket.
func transport(name string, ringSize int) conformance.Transport {
	return conformance.Transport{
		Name: name,
		Listen: func(path string) (net.Listener, error) {
			lc := shmconn.ListenConfig{RingSize: ringSize}
			return lc.Listen(context.Background(), "shm", path)
		},
		Dial: func(path string) (net.Conn, error) {
			c, err := shmconn.Dial("shm", path)
			if err != nil {
				return nil, err
			}
			if _, ok := c.(*shmconn.Conn); !ok {
				c.Close()
				return nil, fmt.Errorf("connected by %T", c)
			}
			return c, nil
		},
		ResetOnCrash: true,
	}
}

// transports have rings from the smallest, where everything wraps and waits, to the default.
var transports = []conformance.Transport{
	transport("4KiB", 4<<10),
	transport("64KiB", 64<<10),
	transport("1MiB", 1<<20),
	transport("default", 0),
}

func TestMain(m *testing.M) {
	conformance.Child(transports...)
	os.Exit(m.Run())
}

func TestConformance(t *testing.T) {
	for _, tr := range transports {
		t.Run(tr.Name, func(t *testing.T) { conformance.TestConn(t, tr.MakePipe()) })
	}
}

func TestConformanceTwoProcesses(t *testing.T) {
	for _, tr := range transports {
		t.Run(tr.Name, func(t *testing.T) { conformance.TestTwoProcesses(t, tr) })
	}
}
