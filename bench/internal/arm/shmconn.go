package arm

import (
	"net"

	"github.com/shmconn/shmconn/shmconn"
)

// shmconnArm is shared memory or an error, with the defaults.
type shmconnArm struct{ everything }

func (shmconnArm) Name() string { return Shmconn }

func (shmconnArm) Listen(env Env) (net.Listener, string, error) {
	path := env.socketPath()
	ln, err := shmconn.Listen("shm", path)
	return ln, path, err
}

func (shmconnArm) Connect(_ Env, _, address string) (Dialer, error) {
	return dialFunc(func() (net.Conn, error) { return shmconn.Dial("shm", address) }), nil
}
