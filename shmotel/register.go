// Package shmotel gives OpenTelemetry what a [shmconn.Listener] carries.
//
//	l, err := shmconn.Listen("unix", path)
//	registration, err := shmotel.Register(otel.Meter("app"), l.(*shmconn.Listener))
package shmotel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/shmconn/shmconn/shmconn"
)

// Register makes instruments of meter that observe the counters of l, which may
// be closed meanwhile, whenever they are collected:
//
//	shmconn.clients               counter, clients that have connected
//	shmconn.clients.failed        counter by error.type: refused, failed, evicted
//	shmconn.clients.limited       counter, clients that a limit has denied shared memory
//	shmconn.connections.accepted  counter by shmconn.transport: shared, plain
//	shmconn.connections           open connections over shared memory
//	shmconn.handshakes            handshakes under way
//	shmconn.backlog               connections that wait for Accept
//	shmconn.memory.limit          bytes that the memory files of the open ones can come to
//	shmconn.io                    counter of payload bytes by network.io.direction: receive, transmit
//
// The attributes are added to all of them; they tell several listeners of a
// process apart. A collection costs as much as l.Stats. Unregister ends the
// observation. The error is the meter's.
func Register(meter metric.Meter, l *shmconn.Listener, attributes ...attribute.KeyValue) (metric.Registration, error) {
	var errs []error
	counter := func(name, unit, description string) metric.Int64Observable {
		i, err := meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return i
	}
	gauge := func(name, unit, description string) metric.Int64Observable {
		i, err := meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return i
	}
	var (
		clients    = counter("shmconn.clients", "{client}", "Clients that have connected.")
		failed     = counter("shmconn.clients.failed", "{client}", "Clients that have got no connection.")
		limited    = counter("shmconn.clients.limited", "{client}", "Clients that a limit has denied shared memory.")
		accepted   = counter("shmconn.connections.accepted", "{connection}", "Connections that the application has accepted.")
		io         = counter("shmconn.io", "By", "Payload carried by shared memory.")
		open       = gauge("shmconn.connections", "{connection}", "Open connections over shared memory.")
		handshakes = gauge("shmconn.handshakes", "{handshake}", "Handshakes under way.")
		backlog    = gauge("shmconn.backlog", "{connection}", "Connections that wait for the application to accept them.")
		memory     = gauge("shmconn.memory.limit", "By", "What the memory files of the open connections can come to.")
	)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := l.Stats()
		observe := func(i metric.Int64Observable, v int64, more ...attribute.KeyValue) {
			o.ObserveInt64(i, v, metric.WithAttributes(attributes...), metric.WithAttributes(more...))
		}
		observe(clients, int64(s.Accepted))
		observe(failed, int64(s.Refused), attribute.String("error.type", "refused"))
		observe(failed, int64(s.Failed), attribute.String("error.type", "failed"))
		observe(failed, int64(s.Evicted), attribute.String("error.type", "evicted"))
		observe(limited, int64(s.Limited))
		observe(accepted, int64(s.Shared), attribute.String("shmconn.transport", "shared"))
		observe(accepted, int64(s.Plain), attribute.String("shmconn.transport", "plain"))
		observe(io, int64(s.BytesRead), attribute.String("network.io.direction", "receive"))
		observe(io, int64(s.BytesWritten), attribute.String("network.io.direction", "transmit"))
		observe(open, int64(s.Conns))
		observe(handshakes, int64(s.Pending))
		observe(backlog, int64(s.Ready))
		observe(memory, s.Memory)
		return nil
	}, clients, failed, limited, accepted, io, open, handshakes, backlog, memory)
}
