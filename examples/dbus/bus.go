//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// A bus is the session bus, if there is one, or a bus of our own.
type bus struct {
	env []string // of processes that are to find it
	cmd *exec.Cmd
}

const busEnv = "DBUS_SESSION_BUS_ADDRESS"

// startBus starts a bus unless there is one. The error wraps exec.ErrNotFound
// when dbus-daemon is not installed.
func startBus(ctx context.Context) (*bus, error) {
	if os.Getenv(busEnv) != "" {
		return new(bus), nil
	}
	daemon, err := exec.LookPath("dbus-daemon")
	if err != nil {
		return nil, fmt.Errorf("no session bus, and %w (apt-get install dbus-daemon)", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd := exec.CommandContext(ctx, daemon, "--session", "--nofork", "--print-address=3")
	cmd.ExtraFiles = []*os.File{w} // is descriptor 3
	cmd.Stderr = os.Stderr
	err = cmd.Start()
	w.Close()
	if err != nil {
		return nil, err
	}
	b := &bus{cmd: cmd}
	address, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		b.stop()
		return nil, fmt.Errorf("dbus-daemon does not say its address: %w", err)
	}
	b.env = []string{busEnv + "=" + strings.TrimSpace(address)}
	return b, nil
}

// stop ends the bus, if it is ours.
func (b *bus) stop() {
	if b.cmd != nil {
		b.cmd.Process.Kill()
		b.cmd.Wait()
	}
}
