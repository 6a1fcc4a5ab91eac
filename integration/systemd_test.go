package integration_test

import (
	"testing"

	"github.com/shmconn/shmconn/integration/internal/peer"
	"github.com/shmconn/shmconn/shmconn"
)

// activate has systemd listen for the part, whose process it starts when the
// first client connects.
func activate(t *testing.T, part string, args ...string) *peer.Server {
	t.Helper()
	path := peer.SocketPath(t)
	command := []string{peer.Find(t, "systemd-socket-activate", "systemd"), "--listen=" + path}
	for _, variable := range peer.Environment(part) {
		command = append(command, "--setenv="+variable)
	}
	return peer.StartBy(t, command, path, part, args...)
}

// TestSystemd has servers on sockets that systemd listens on. The client that
// has a server started waits for it, and is served over shared memory too, as
// network "shm" is patient.
func TestSystemd(t *testing.T) {
	for part, test := range map[string]struct {
		args  []string
		drain func(t *testing.T, server *peer.Server, args []string)
	}{
		"http": {[]string{peer.SocketPath(t)}, func(t *testing.T, server *peer.Server, args []string) { drainHTTP(t, server, args[0]) }},
		"grpc": {[]string{"local"}, func(t *testing.T, server *peer.Server, _ []string) { drainGRPC(t, server) }},
	} {
		t.Run(part, func(t *testing.T) {
			server := activate(t, part, test.args...)
			peer.Eventually(t, "systemd listens", func() bool {
				first, err := shmconn.Dial("shm", server.Path)
				if err == nil {
					first.Close()
				}
				return err == nil
			})
			server.Ready(t)
			test.drain(t, server, test.args)
			server.CheckShared(t)
		})
	}
}

// TestSystemdStart sends a request at once on network "unix". It is answered,
// over the plain socket if starting the server takes longer than the greeting
// is waited for.
func TestSystemdStart(t *testing.T) {
	server := activate(t, "http")
	client := httpClient(t, server)
	peer.Eventually(t, "an answer", func() bool { return upper(client, "at once") == nil })
	server.Ready(t)
	if r := server.Wait(t); r.Shared+r.Plain != 1 {
		t.Errorf("%+v, want one connection", r)
	}
}
