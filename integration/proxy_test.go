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
	dir := peer.Dir(t)
	program, socket := filepath.Join(dir, "shmconn"), filepath.Join(dir, "s")
	build := exec.Command("go", "build", "-o", program, "github.com/shmconn/shmconn/cmd/shmconn")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	peer.Run(t, syscall.SIGTERM, exec.Command(program, "proxy", "shm:"+socket, "plain:"+path))
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(shmconn.Dialer).DialContext(ctx, "shm", socket)
	}
	peer.Eventually(t, "the proxy listens", func() bool {
		conn, err := dial(t.Context(), "", "")
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return dial
}
