package arm

import "net"

// unixArm is a plain unix stream socket: what shmconn is measured against.
type unixArm struct{ everything }

func (unixArm) Name() string { return Unix }

func (unixArm) Listen(env Env) (net.Listener, string, error) {
	path := env.socketPath()
	ln, err := net.Listen("unix", path)
	return ln, path, err
}

func (unixArm) Connect(_ Env, _, address string) (Dialer, error) {
	return dialFunc(func() (net.Conn, error) { return net.Dial("unix", address) }), nil
}

// tcpArm is TCP over the loopback interface, with net's defaults.
type tcpArm struct{ everything }

func (tcpArm) Name() string { return "tcp" }

func (tcpArm) Listen(Env) (net.Listener, string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	return ln, ln.Addr().String(), nil
}

func (tcpArm) Connect(_ Env, _, address string) (Dialer, error) {
	return dialFunc(func() (net.Conn, error) { return net.Dial("tcp", address) }), nil
}
