package shmprom

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/shmconn/shmconn/shmconn"
)

// TestCollector compares what is collected with what a listener has carried,
// while its connections are open and after they have been closed.
func TestCollector(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	var deny atomic.Bool
	lc := shmconn.ListenConfig{RingSize: 4096, Authorize: func(shmconn.Credentials) error {
		if deny.Load() {
			return errors.New("denied")
		}
		return nil
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := NewCollector(l.(*shmconn.Listener), prometheus.Labels{"socket": "test"})
	if problems, err := testutil.CollectAndLint(c); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}

	connect := func(dial func(network, address string) (net.Conn, error)) (client, server net.Conn) {
		t.Helper()
		client, err := dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		server, err = l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return client, server
	}
	client, server := connect(shmconn.Dial)
	carry(t, client, server, 100)
	carry(t, server, client, 1000)
	plainClient, plainServer := connect(net.Dial)
	deny.Store(true)
	if stranger, err := net.Dial("unix", path); err != nil {
		t.Fatal(err)
	} else if _, err := stranger.Read(make([]byte, 1)); err == nil {
		t.Fatal("a stranger is let in")
	}

	want := `
# HELP shmconn_backlog Connections that wait for the application to accept them.
# TYPE shmconn_backlog gauge
shmconn_backlog{socket="test"} 0
# HELP shmconn_clients_failed_total Clients that have got no connection, by reason: refused by policy or a limit, failed in the handshake, evicted by newer ones.
# TYPE shmconn_clients_failed_total counter
shmconn_clients_failed_total{reason="evicted",socket="test"} 0
shmconn_clients_failed_total{reason="failed",socket="test"} 0
shmconn_clients_failed_total{reason="refused",socket="test"} 1
# HELP shmconn_clients_limited_total Clients that a limit has denied shared memory.
# TYPE shmconn_clients_limited_total counter
shmconn_clients_limited_total{socket="test"} 0
# HELP shmconn_clients_total Clients that have connected.
# TYPE shmconn_clients_total counter
shmconn_clients_total{socket="test"} 3
# HELP shmconn_connections Open connections over shared memory.
# TYPE shmconn_connections gauge
shmconn_connections{socket="test"} OPEN
# HELP shmconn_connections_total Connections that the application has accepted, by what carries them.
# TYPE shmconn_connections_total counter
shmconn_connections_total{socket="test",transport="plain"} 1
shmconn_connections_total{socket="test",transport="shared"} 1
# HELP shmconn_handshakes Handshakes under way.
# TYPE shmconn_handshakes gauge
shmconn_handshakes{socket="test"} 0
# HELP shmconn_memory_limit_bytes What the memory files of the open connections can come to.
# TYPE shmconn_memory_limit_bytes gauge
shmconn_memory_limit_bytes{socket="test"} MEMORY
# HELP shmconn_read_bytes_total Payload received over shared memory and read.
# TYPE shmconn_read_bytes_total counter
shmconn_read_bytes_total{socket="test"} 100
# HELP shmconn_written_bytes_total Payload written to shared memory.
# TYPE shmconn_written_bytes_total counter
shmconn_written_bytes_total{socket="test"} 1000
`
	expect(t, c, strings.NewReplacer("OPEN", "1", "MEMORY", "16384").Replace(want))
	for _, conn := range []net.Conn{client, server, plainClient, plainServer} {
		conn.Close()
	}
	expect(t, c, strings.NewReplacer("OPEN", "0", "MEMORY", "0").Replace(want))
}

// carry moves n bytes.
func carry(t *testing.T, from, to net.Conn, n int) {
	t.Helper()
	if _, err := from.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(to, make([]byte, n)); err != nil {
		t.Fatal(err)
	}
}

// expect waits until c collects what is wanted: what an end has seen need not be
// counted yet.
func expect(t *testing.T, c prometheus.Collector, want string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		err := testutil.CollectAndCompare(c, strings.NewReader(want))
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
