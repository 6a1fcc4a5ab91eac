//go:build linux

// Dbus is the example of the Rust crate shmem-ipc in Go: a service on D-Bus
// hands out shared queues, clients in other processes stream float64 values
// into them, and the service publishes their sums.
//
//	go run ./examples/dbus             # a bus if there is none, the service and a client
//	go run ./examples/dbus -service    # the service alone, on the session bus
//	go run ./examples/dbus -client     # a client alone
//
// The names on the bus and the format of the memory are those of the crate's
// example, so that either program can be one in Rust (examples/server.rs and
// examples/client.rs there).
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// The service, as the crate's example names it.
const (
	name   = "com.example.shmemtest"
	path   = "/shmemtest"
	setup  = name + ".Setup" // returns the capacity and the queue's three files
	sumSig = name + ".Sum"   // a signal with the sum of what has come since the last
)

func main() {
	service := flag.Bool("service", false, "be the service")
	client := flag.Bool("client", false, "be a client")
	items := flag.Int("items", 20_000_000, "how many values the client sends")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case *items < 1:
		err = fmt.Errorf("no client sends %d values", *items)
	case *service:
		err = runService(ctx, os.Stdout)
	case *client:
		err = runClient(ctx, *items, os.Stdout)
	default:
		err = runBoth(ctx, *items, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "dbus:", err)
		os.Exit(1)
	}
}

// runBoth runs the service and a client, each in a process of its own.
func runBoth(ctx context.Context, items int, out io.Writer) error {
	bus, err := startBus(ctx)
	if err != nil {
		return err
	}
	defer bus.stop()
	program, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	command := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Env = append(os.Environ(), bus.env...)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.Stderr = os.Stderr
		return cmd
	}

	service := command("-service")
	said, err := service.StdoutPipe()
	if err != nil {
		return err
	}
	if err := service.Start(); err != nil {
		return err
	}
	lines := bufio.NewReader(said)
	line, err := lines.ReadString('\n') // it is on the bus then
	io.WriteString(out, line)
	copied := make(chan struct{})
	go func() {
		io.Copy(out, lines)
		close(copied)
	}()
	if err == nil {
		client := command("-client", "-items", fmt.Sprint(items))
		client.Stdout = out
		err = client.Run()
	}
	cancel()
	<-copied
	if serviceErr := service.Wait(); err == nil && serviceErr != nil && ctx.Err() == nil {
		err = serviceErr
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the service has ended")
	}
	return err
}
