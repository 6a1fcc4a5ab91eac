package integration_test

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/shmconn/shmconn/integration/internal/peer"
	"github.com/shmconn/shmconn/shmconn"
)

// dialFunc is the dial function that most frameworks take.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// startProxy puts "shmconn proxy" before the server at the unix socket path,
// and returns how to reach it, by shared memory and nothing else.
func startProxy(t *testing.T, path string) dialFunc {
	t.Helper()
	socket := filepath.Join(peer.Dir(t), "s")
	runProxy(t, "shm:"+socket, "plain:"+path)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(shmconn.Dialer).DialContext(ctx, "shm", socket)
	}
	awaitServer(t, dial)
	return dial
}

// startProxies puts two proxies before it, one for each end of the shared
// memory, and returns a plain unix socket.
func startProxies(t *testing.T, path string) (plain string) {
	t.Helper()
	dir := peer.Dir(t)
	shm, plain := filepath.Join(dir, "shm"), filepath.Join(dir, "plain")
	runProxy(t, "shm:"+shm, "plain:"+path)
	runProxy(t, "plain:"+plain, "shm:"+shm)
	for network, path := range map[string]string{"shm": shm, "unix": plain} {
		awaitServer(t, func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(shmconn.Dialer).DialContext(ctx, network, path)
		})
	}
	return plain
}

// runProxy runs "shmconn proxy" from one address to another.
func runProxy(t *testing.T, from, to string) {
	t.Helper()
	program := filepath.Join(peer.Dir(t), "shmconn")
	build := exec.Command("go", "build", "-o", program, "github.com/shmconn/shmconn/cmd/shmconn")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	peer.Run(t, syscall.SIGTERM, exec.Command(program, "proxy", from, to))
}

func awaitServer(t *testing.T, dial dialFunc) {
	t.Helper()
	peer.Eventually(t, "the proxy listens", func() bool {
		conn, err := dial(t.Context(), "", "")
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}
