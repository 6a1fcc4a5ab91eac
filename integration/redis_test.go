package integration_test

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/tidwall/redcon"

	"github.com/shmconn/shmconn/integration/internal/peer"
	"github.com/shmconn/shmconn/shmconn"
)

func init() {
	// A store of strings with Redis's protocol.
	peer.Register("redcon", func(l net.Listener, _ []string) error {
		var (
			mux    = redcon.NewServeMux()
			pubsub redcon.PubSub
			mu     sync.Mutex
			store  = map[string]string{}
		)
		mux.HandleFunc("ping", func(c redcon.Conn, _ redcon.Command) {
			if _, ok := c.NetConn().(*shmconn.Conn); !ok {
				c.WriteError("ERR not in shared memory")
				return
			}
			c.WriteString("PONG")
		})
		mux.HandleFunc("set", func(c redcon.Conn, cmd redcon.Command) {
			mu.Lock()
			defer mu.Unlock()
			store[string(cmd.Args[1])] = string(cmd.Args[2])
			c.WriteString("OK")
		})
		mux.HandleFunc("get", func(c redcon.Conn, cmd redcon.Command) {
			mu.Lock()
			defer mu.Unlock()
			if value, ok := store[string(cmd.Args[1])]; ok {
				c.WriteBulkString(value)
			} else {
				c.WriteNull()
			}
		})
		mux.HandleFunc("publish", func(c redcon.Conn, cmd redcon.Command) {
			c.WriteInt(pubsub.Publish(string(cmd.Args[1]), string(cmd.Args[2])))
		})
		mux.HandleFunc("subscribe", func(c redcon.Conn, cmd redcon.Command) {
			for _, channel := range cmd.Args[1:] {
				pubsub.Subscribe(c, string(channel))
			}
		})
		return redcon.Serve(l, mux.ServeRESP, func(redcon.Conn) bool { return true }, nil)
	})
}

// dialRedis returns a client whose connections dial makes.
func dialRedis(t testing.TB, dial func(ctx context.Context, network, address string) (net.Conn, error)) *redis.Client {
	client := redis.NewClient(&redis.Options{Dialer: dial, Protocol: 2, DisableIdentity: true, ReadTimeout: peer.Patience})
	t.Cleanup(func() { client.Close() })
	return client
}

// TestRedcon has a server in Go, which accepts the connections itself.
func TestRedcon(t *testing.T) {
	server := peer.Start(t, "redcon")
	client := dialRedis(t, server.DialContext)
	if err := client.Ping(peer.Context(t)).Err(); err != nil {
		t.Fatal(err)
	}
	useRedis(t, client)
}

// useRedis sets and gets values alone and in pipelines, and publishes.
func useRedis(t *testing.T, client *redis.Client) {
	t.Helper()
	ctx := peer.Context(t)
	if err := client.Get(ctx, "nothing").Err(); err != redis.Nil {
		t.Errorf("get nothing: %v", err)
	}
	for _, size := range []int{0, 1, 8 << 20} {
		value := strings.Repeat("v", size)
		if err := client.Set(ctx, "value", value, 0).Err(); err != nil {
			t.Fatal(err)
		}
		if got, err := client.Get(ctx, "value").Result(); err != nil || got != value {
			t.Errorf("value of %d bytes, %v; want %d", len(got), err, size)
		}
	}

	var answers []*redis.StringCmd
	_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range 5000 {
			key := "key " + strconv.Itoa(i)
			p.Set(ctx, key, i, 0)
			answers = append(answers, p.Get(ctx, key))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, answer := range answers {
		if got, err := answer.Int(); err != nil || got != i {
			t.Fatalf("answer %d of the pipeline: %d, %v", i, got, err)
		}
	}

	subscription := client.Subscribe(ctx, "news")
	defer subscription.Close()
	if _, err := subscription.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if n, err := client.Publish(ctx, "news", i).Result(); err != nil || n != 1 {
			t.Fatalf("published to %d subscribers, %v", n, err)
		}
	}
	for i := range 100 {
		m, err := subscription.ReceiveMessage(ctx)
		if err != nil || m.Payload != strconv.Itoa(i) {
			t.Fatalf("message %d: %v, %v", i, m, err)
		}
	}
}
