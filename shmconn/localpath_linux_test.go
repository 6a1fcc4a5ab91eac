package shmconn_test

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"

	"github.com/shmconn/shmconn/shmconn"
)

// TestLocalPath dials addresses of which some live on this machine.
func TestLocalPath(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	shm, shmPath := listen(t, "unix", shmconn.ListenConfig{})
	serveEcho(t, shm)
	plain, err := net.Listen("unix", socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	serveEcho(t, plain)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	serveEcho(t, tcp)
	remote := tcp.Addr().String()

	var asked []string
	d := shmconn.Dialer{LocalPath: func(network, address string) (string, bool) {
		asked = append(asked, network+" "+address)
		path, ok := map[string]string{
			"10.0.0.7:443": shmPath,
			"10.0.0.8:443": plain.Addr().String(),
			"10.0.0.9:443": shmPath + ".gone",
		}[address]
		return path, ok
	}}
	ctx := context.Background()
	for _, test := range []struct {
		name  string
		dial  func() (net.Conn, error)
		asked string // what LocalPath has to answer
		want  string
		addr  string // of the remote end
	}{
		{"local", func() (net.Conn, error) { return d.Dial("tcp", "10.0.0.7:443") }, "tcp 10.0.0.7:443", "shared", shmPath},
		{"local target", func() (net.Conn, error) { return d.DialTarget(ctx, "10.0.0.7:443") }, "tcp 10.0.0.7:443", "shared", shmPath},
		{"local, by a name of its own", func() (net.Conn, error) { return d.DialContext(ctx, "quic", "10.0.0.7:443") }, "quic 10.0.0.7:443", "shared", shmPath},
		{"local and plain", func() (net.Conn, error) { return d.Dial("tcp4", "10.0.0.8:443") }, "tcp4 10.0.0.8:443", "plain", plain.Addr().String()},
		{"remote", func() (net.Conn, error) { return d.Dial("tcp", remote) }, "tcp " + remote, "plain", remote},
		{"remote target", func() (net.Conn, error) { return d.DialTarget(ctx, remote) }, "tcp " + remote, "plain", remote},
		{"path", func() (net.Conn, error) { return d.Dial("unix", shmPath) }, "", "shared", shmPath},
		{"strict path", func() (net.Conn, error) { return d.Dial("shm", shmPath) }, "", "shared", shmPath},
		{"path as a target", func() (net.Conn, error) { return d.DialTarget(ctx, "unix://"+shmPath) }, "", "shared", shmPath},
	} {
		t.Run(test.name, func(t *testing.T) {
			asked = nil
			c, err := test.dial()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if kind := kind(c); kind != test.want || c.RemoteAddr().String() != test.addr {
				t.Errorf("connection is %s, to %s; want %s, to %s", kind, c.RemoteAddr(), test.want, test.addr)
			}
			if test.asked == "" && asked != nil || test.asked != "" && (len(asked) != 1 || asked[0] != test.asked) {
				t.Errorf("asked about %q, want %q", asked, test.asked)
			}
			if err := exchange(c, "to be returned"); err != nil {
				t.Error(err)
			}
		})
	}
	_, err = d.Dial("tcp", "10.0.0.9:443")
	if op := new(net.OpError); !errors.As(err, &op) || op.Op != "dial" || !errors.Is(err, syscall.ENOENT) {
		t.Errorf("path without a socket: %v, want ENOENT", err)
	}
}
