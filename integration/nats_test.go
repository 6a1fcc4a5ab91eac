package integration_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/shmconn/shmconn/integration/internal/peer"
	"github.com/shmconn/shmconn/shmconn"
)

func init() {
	// An embedded server listens on TCP only, but has connections within its
	// process, to each of which one that we accept is joined.
	peer.Register("nats", func(l net.Listener, _ []string) error {
		server, err := natsserver.NewServer(&natsserver.Options{DontListen: true, NoSigs: true, NoLog: true})
		if err != nil {
			return err
		}
		server.Start()
		if !server.ReadyForConnections(peer.Patience) {
			return errors.New("server does not start")
		}
		return serveEach(l, func(c net.Conn) error {
			inside, err := server.InProcessConn()
			if err != nil {
				return err
			}
			go func() {
				io.Copy(inside, c)
				inside.Close()
			}()
			_, err = io.Copy(c, inside)
			return err
		})
	})
}

// natsDialer is what nats.SetCustomDialer takes.
type natsDialer struct{ path string }

func (d natsDialer) Dial(_, _ string) (net.Conn, error) { return shmconn.Dial("unix", d.path) }

// TestNATS publishes from one client to another, and has the other answer.
func TestNATS(t *testing.T) {
	server := peer.Start(t, "nats")
	connect := func() *nats.Conn {
		c, err := nats.Connect("nats://server", nats.SetCustomDialer(natsDialer{server.Path}), nats.NoReconnect())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	publisher, subscriber := connect(), connect()
	subscription, err := subscriber.SubscribeSync("count.*")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := subscriber.Subscribe("echo", func(m *nats.Msg) { m.Respond(m.Data) }); err != nil {
		t.Fatal(err)
	}
	if err := subscriber.Flush(); err != nil {
		t.Fatal(err)
	}

	const messages = 10_000
	for i := range messages {
		if err := publisher.Publish("count.up", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range messages {
		m, err := subscription.NextMsg(peer.Patience)
		if err != nil || string(m.Data) != fmt.Sprint(i) {
			t.Fatalf("message %d: %v, %v", i, m, err)
		}
	}
	large := make([]byte, 1<<20)
	for range 20 {
		if m, err := publisher.Request("echo", large, peer.Patience); err != nil || len(m.Data) != len(large) {
			t.Fatalf("request: %v", err)
		}
	}
	if err := subscriber.Drain(); err != nil {
		t.Error(err)
	}
}
