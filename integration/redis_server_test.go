package integration_test

import (
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
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

// TestRedisBenchmark has Redis' own load generator at one end of two proxies with
// shared memory between them, and its server at the other.
func TestRedisBenchmark(t *testing.T) {
	benchmark := peer.Find(t, "redis-benchmark", "redis-tools")
	path := startProxies(t, startRedis(t))
	for _, args := range []string{
		"-n 20000 -c 50",              // as it comes, but for the number
		"-n 50000 -c 10 -P 16 -r 100", // pipelines
		"-n 2000 -c 4 -d 100000 -t set,get",
	} {
		t.Run(args, func(t *testing.T) {
			all := append(strings.Fields(args), "-s", path, "--csv")
			if !strings.Contains(args, "-t ") {
				all = append(all, "-t", "ping,set,get,incr,lpush,lrange_100,mset")
			}
			out, err := exec.CommandContext(peer.Context(t), benchmark, all...).CombinedOutput()
			if err != nil || strings.Contains(string(out), "rror") {
				t.Fatalf("%v\n%s", err, out)
			}
			results := 0
			for line := range strings.Lines(string(out)) {
				cells := strings.Split(line, ",")
				if rate, err := strconv.ParseFloat(strings.Trim(cells[min(1, len(cells)-1)], `"`), 64); err == nil && rate > 0 {
					results++
				}
			}
			if results < 2 {
				t.Errorf("%d results in\n%s", results, out)
			}
		})
	}
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
