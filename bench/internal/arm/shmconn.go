package arm

import (
	"context"
	"net"

	"github.com/shmconn/shmconn/shmconn"
)

// maxConns is more than any workload opens at once. The default is less.
const maxConns = 1 << 16

// shmconnArm is shared memory or an error, with the defaults but for the number of connections.
type shmconnArm struct{ everything }

func (shmconnArm) Name() string { return Shmconn }

func (shmconnArm) Listen(env Env) (net.Listener, string, error) {
	path := env.socketPath()
	lc := shmconn.ListenConfig{MaxConns: maxConns, MaxConnsPerUID: maxConns}
	ln, err := lc.Listen(context.Background(), "shm", path)
	return ln, path, err
}

func (shmconnArm) Connect(_ Env, _, address string) (Dialer, error) {
	return dialFunc(func() (net.Conn, error) { return shmconn.Dial("shm", address) }), nil
}
