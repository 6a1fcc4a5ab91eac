package shmotel

import (
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/shmconn/shmconn/shmconn"
)

// TestRegister compares what is collected with what a listener has carried,
// while its connections are open and after they have been closed.
func TestRegister(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	lc := shmconn.ListenConfig{RingSize: 4096}
	l, err := lc.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	reader := metric.NewManualReader()
	provider := metric.NewMeterProvider(metric.WithReader(reader))
	registration, err := Register(provider.Meter("test"), l.(*shmconn.Listener), attribute.String("socket", "test"))
	if err != nil {
		t.Fatal(err)
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

	want := map[string]int64{
		"shmconn.clients [socket=test] {client}":                                           2,
		"shmconn.clients.failed [error.type=refused socket=test] {client}":                 0,
		"shmconn.clients.failed [error.type=failed socket=test] {client}":                  0,
		"shmconn.clients.failed [error.type=evicted socket=test] {client}":                 0,
		"shmconn.clients.limited [socket=test] {client}":                                   0,
		"shmconn.connections.accepted [shmconn.transport=shared socket=test] {connection}": 1,
		"shmconn.connections.accepted [shmconn.transport=plain socket=test] {connection}":  1,
		"shmconn.io [network.io.direction=receive socket=test] By":                         100,
		"shmconn.io [network.io.direction=transmit socket=test] By":                        1000,
		"shmconn.connections [socket=test] {connection}":                                   1,
		"shmconn.handshakes [socket=test] {handshake}":                                     0,
		"shmconn.backlog [socket=test] {connection}":                                       0,
		"shmconn.memory.limit [socket=test] By":                                            16384,
	}
	expect(t, reader, want)
	for _, c := range []net.Conn{client, server, plainClient, plainServer} {
		c.Close()
	}
	want["shmconn.connections [socket=test] {connection}"] = 0
	want["shmconn.memory.limit [socket=test] By"] = 0
	expect(t, reader, want)
	if err := registration.Unregister(); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, reader); len(got) > 0 {
		t.Errorf("after Unregister, collected %v", got)
	}
}

// expect waits until the wanted values are collected: what an end has seen need
// not be counted yet.
func expect(t *testing.T, reader *metric.ManualReader, want map[string]int64) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		got := collect(t, reader)
		if maps.Equal(got, want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("collected %v, want %v", got, want)
		}
	}
}

// collect returns all values by name, attributes and unit.
func collect(t *testing.T, reader *metric.ManualReader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	values := make(map[string]int64)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
				var attributes []string
				for _, a := range p.Attributes.ToSlice() { // sorted by key
					attributes = append(attributes, fmt.Sprintf("%s=%s", a.Key, a.Value.AsString()))
				}
				values[fmt.Sprintf("%s %v %s", m.Name, attributes, m.Unit)] = p.Value
			}
		}
	}
	return values
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
