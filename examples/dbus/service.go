//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/shmconn/shmconn/sharedring"
)

const (
	// capacity is how many values each queue holds.
	capacity = 500_000

	// interval is how often sums are published.
	interval = 100 * time.Millisecond
)

// A summer is the object on the bus.
type summer struct {
	mu     sync.Mutex // guards all below
	sum    float64
	queues map[dbus.Sender]*sharedring.Receiver[float64] // one for each client
}

// Setup is called over the bus: it makes a queue for the client that calls.
func (s *summer) Setup(client dbus.Sender) (uint64, dbus.UnixFD, dbus.UnixFD, dbus.UnixFD, *dbus.Error) {
	queue, err := s.add(client)
	if err != nil {
		return 0, 0, 0, 0, dbus.MakeFailedError(err)
	}
	// The files stay open for as long as the queue, the client gets duplicates.
	return capacity, descriptor(queue.Memfd()), descriptor(queue.EmptySignal()), descriptor(queue.FullSignal()), nil
}

func (s *summer) add(client dbus.Sender) (*sharedring.Receiver[float64], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queues[client] != nil {
		return nil, errors.New("one queue for each client")
	}
	queue, err := sharedring.NewReceiver[float64](capacity)
	if err != nil {
		return nil, err
	}
	s.queues[client] = queue
	go s.receive(queue)
	return queue, nil
}

// receive sums up what comes until the queue is closed.
func (s *summer) receive(queue *sharedring.Receiver[float64]) {
	values := make([]float64, 10_000)
	for {
		n, err := queue.Receive(values)
		if errors.Is(err, sharedring.ErrCorrupt) {
			fmt.Fprintln(os.Stderr, "dbus:", err) // a client that breaks the rules harms nobody else
		}
		if err != nil {
			return
		}
		sum := 0.0
		for _, v := range values[:n] { // copies: what a client does to them now is its business
			sum += v
		}
		s.mu.Lock()
		s.sum += sum
		s.mu.Unlock()
	}
}

// gone closes the queue of a client that has left the bus. The memory itself
// does not tell.
func (s *summer) gone(client dbus.Sender) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if queue := s.queues[client]; queue != nil {
		queue.Close()
		delete(s.queues, client)
	}
}

func (s *summer) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, queue := range s.queues {
		queue.Close()
	}
}

// take returns the sum and starts a new one.
func (s *summer) take() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := s.sum
	s.sum = 0
	return sum
}

func runService(ctx context.Context, out io.Writer) error {
	conn, err := dbus.ConnectSessionBus(dbus.WithContext(ctx))
	if err != nil {
		return err
	}
	defer conn.Close()
	s := &summer{queues: make(map[dbus.Sender]*sharedring.Receiver[float64])}
	defer s.close()
	if err := conn.Export(s, path, name); err != nil {
		return err
	}
	leaving := make(chan *dbus.Signal, 100)
	conn.Signal(leaving)
	if err := conn.AddMatchSignal(dbus.WithMatchInterface("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged")); err != nil {
		return err
	}
	if reply, err := conn.RequestName(name, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		return fmt.Errorf("name %s is taken: %v", name, err)
	}
	fmt.Fprintf(out, "service: %s is on the bus\n", name)

	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case signal, ok := <-leaving:
			if !ok {
				return errors.New("the bus has gone")
			}
			var client, before, after string
			if dbus.Store(signal.Body, &client, &before, &after) == nil && after == "" {
				s.gone(dbus.Sender(client))
			}
		case <-ticker.C:
			if sum := s.take(); sum != 0 {
				fmt.Fprintf(out, "service: sum %.0f\n", sum)
				if err := conn.Emit(path, sumSig, sum); err != nil {
					return err
				}
			}
		}
	}
}

// descriptor is the number under which f is open.
func descriptor(f *os.File) (fd dbus.UnixFD) {
	if raw, err := f.SyscallConn(); err == nil {
		raw.Control(func(n uintptr) { fd = dbus.UnixFD(n) })
	}
	return fd
}
