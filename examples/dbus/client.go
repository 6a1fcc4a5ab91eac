//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/shmconn/shmconn/sharedring"
)

// patience is how long the service may take to answer or to sum up.
const patience = 10 * time.Second

// runClient streams whole numbers, whose sum is exact, and waits until the
// service has published as much.
func runClient(ctx context.Context, items int, out io.Writer) error {
	conn, err := dbus.ConnectSessionBus(dbus.WithContext(ctx))
	if err != nil {
		return err
	}
	defer conn.Close()
	signals := make(chan *dbus.Signal, 100)
	conn.Signal(signals)
	if err := conn.AddMatchSignal(dbus.WithMatchInterface(name), dbus.WithMatchMember("Sum")); err != nil {
		return err
	}
	queue, err := openQueue(ctx, conn)
	if err != nil {
		return err
	}
	defer queue.Close()

	start := time.Now()
	want := 0.0
	values := make([]float64, 0, 10_000)
	for sent := 0; sent < items; sent += len(values) {
		values = values[:min(cap(values), items-sent)]
		for i := range values {
			values[i] = float64((sent + i) % 1000)
			want += values[i]
		}
		// A service that takes nothing for so long has died.
		limit, cancel := context.WithTimeout(ctx, patience)
		_, err := queue.SendContext(limit, values)
		cancel()
		if err != nil {
			return err
		}
	}
	took := time.Since(start)
	fmt.Fprintf(out, "client: %d values sent in %v, %.0f million a second\n", items, took.Round(time.Microsecond), float64(items)/took.Seconds()/1e6)

	got := 0.0
	for limit := time.After(patience); got != want; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit:
			return fmt.Errorf("sums add up to %g, want %g", got, want)
		case signal, ok := <-signals:
			if !ok {
				return errors.New("the bus has gone")
			}
			var sum float64
			if signal.Name == sumSig && dbus.Store(signal.Body, &sum) == nil {
				got += sum
			}
		}
	}
	fmt.Fprintf(out, "client: the sums published add up to %.0f, as they should\n", got)
	return nil
}

// openQueue asks the service for a queue and attaches to it.
func openQueue(ctx context.Context, conn *dbus.Conn) (*sharedring.Sender[float64], error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var capacity uint64
	var memory, empty, full dbus.UnixFD
	call := conn.Object(name, path).CallWithContext(ctx, setup, 0)
	if err := call.Store(&capacity, &memory, &empty, &full); err != nil {
		return nil, err
	}
	var files [3]*os.File
	for i, fd := range []dbus.UnixFD{memory, empty, full} {
		files[i] = os.NewFile(uintptr(fd), "queue")
		defer files[i].Close() // the queue has duplicates
	}
	if capacity > 100<<20 { // whom one does not trust one sets limits
		return nil, fmt.Errorf("queue of %d values", capacity)
	}
	return sharedring.OpenSender[float64](int(capacity), files[0], files[1], files[2])
}
