//go:build linux

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestProgram runs the example as its reader does, on a bus of its own and on
// one that is there already.
func TestProgram(t *testing.T) {
	if _, err := exec.LookPath("dbus-daemon"); err != nil {
		t.Skip("no dbus-daemon: apt-get install dbus-daemon")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	program := filepath.Join(t.TempDir(), "dbus")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Setenv(busEnv, "")
	bus, err := startBus(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer bus.stop()
	for _, env := range [][]string{nil, bus.env, bus.env} { // the last shows that the first has left the bus
		cmd := exec.CommandContext(ctx, program, "-items", "1000001")
		cmd.Env = append(os.Environ(), env...)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, os.Stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		// What the service says is passed on, so that the client's last line can
		// come before the service's.
		for _, want := range []string{
			`^service: com\.example\.shmemtest is on the bus\n`,
			`\nservice: sum \d+\n`,
			`\nclient: the sums published add up to 499500000, as they should\n`,
		} {
			if !regexp.MustCompile(want).MatchString(out.String()) {
				t.Errorf("output without %s:\n%s", want, out.String())
			}
		}
	}
	for _, args := range []string{"-client", "-items=0"} {
		cmd := exec.CommandContext(ctx, program, args)
		cmd.Env = append(os.Environ(), bus.env...)
		if out, err := cmd.CombinedOutput(); err == nil {
			t.Errorf("%s ran without a service:\n%s", args, out)
		}
	}
}

// One service has any number of clients, each with a queue of its own.
func TestClients(t *testing.T) {
	if _, err := exec.LookPath("dbus-daemon"); err != nil {
		t.Skip("no dbus-daemon: apt-get install dbus-daemon")
	}
	t.Setenv(busEnv, "")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	bus, err := startBus(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer bus.stop()
	t.Setenv(busEnv, strings.TrimPrefix(bus.env[0], busEnv+"="))
	ready := &line{c: make(chan string, 1)}
	served := make(chan error, 1)
	go func() { served <- runService(ctx, ready) }()
	select {
	case <-ready.c:
	case err := <-served:
		t.Fatal(err)
	}
	for range 3 {
		if err := runClient(ctx, 100_000, &strings.Builder{}); err != nil {
			t.Error(err)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// line passes on the first thing written.
type line struct{ c chan string }

func (l *line) Write(b []byte) (int, error) {
	select {
	case l.c <- string(slices.Clone(b)):
	default:
	}
	return len(b), nil
}
