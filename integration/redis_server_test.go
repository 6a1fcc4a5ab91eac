package integration_test

import (
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/shmconn/shmconn/integration/internal/peer"
)

// startRedis starts Redis on a unix socket, with nothing on disk.
func startRedis(t *testing.T) (path string) {
	t.Helper()
	program := peer.Find(t, "redis-server", "redis-server")
	dir := peer.Dir(t)
	path = filepath.Join(dir, "redis.sock")
	cmd := exec.Command(program, "--port", "0", "--unixsocket", path, "--unixsocketperm", "600",
		"--dir", dir, "--save", "", "--appendonly", "no")
	peer.Run(t, syscall.SIGTERM, cmd)
	peer.Eventually(t, "Redis listens", func() bool {
		conn, err := net.Dial("unix", path)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return path
}

// TestRedis has the server of the Redis project behind the proxy.
func TestRedis(t *testing.T) {
	client := dialRedis(t, startProxy(t, startRedis(t)))
	useRedis(t, client)

	ctx := peer.Context(t)
	sum, err := client.Eval(ctx, "return redis.call('incrby', KEYS[1], ARGV[1])", []string{"sum"}, 42).Int()
	if err != nil || sum != 42 {
		t.Errorf("script: %d, %v", sum, err)
	}
	_, err = client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.RPush(ctx, "list", "a", "b")
		p.LPop(ctx, "list")
		return nil
	})
	if err != nil {
		t.Errorf("transaction: %v", err)
	}
	if got, err := client.LRange(ctx, "list", 0, -1).Result(); err != nil || strings.Join(got, " ") != "b" {
		t.Errorf("list: %q, %v", got, err)
	}

	// A call that blocks until another client has something for it.
	popped := make(chan error, 1)
	go func() {
		got, err := client.BLPop(ctx, 0, "queue").Result()
		if err == nil && strings.Join(got, " ") != "queue job" {
			t.Errorf("popped %q", got)
		}
		popped <- err
	}()
	peer.Eventually(t, "a client blocks", func() bool {
		info, err := client.Info(ctx, "clients").Result()
		return err == nil && strings.Contains(info, "blocked_clients:1\r\n")
	})
	if err := client.RPush(ctx, "queue", "job").Err(); err != nil {
		t.Fatal(err)
	}
	if err := <-popped; err != nil {
		t.Error(err)
	}
}
