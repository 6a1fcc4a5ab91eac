package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/shmconn/shmconn/shmconn"
)

// TestStat looks at a proxy, which has a connection over shared memory and a plain one, by a process
// of its own.
func TestStat(t *testing.T) {
	backend, err := net.Listen("unix", filepath.Join(t.TempDir(), "b"))
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	for _, path := range []string{filepath.Join(t.TempDir(), "s"), fmt.Sprintf("@shmconn-test-%d", os.Getpid())} {
		proxy, _ := startProxy(t, "unix:"+path, "plain:"+backend.Addr().String())
		// Over each connection 1000 bytes go to the backend and 10 come back.
		use := func(dial func(network, address string) (net.Conn, error)) net.Conn {
			t.Helper()
			client, err := dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			server, err := backend.Accept()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { server.Close() })
			for _, way := range []struct {
				from, to net.Conn
				bytes    int
			}{{client, server, 1000}, {server, client, 10}} {
				if _, err := way.from.Write(make([]byte, way.bytes)); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(way.to, make([]byte, way.bytes)); err != nil {
					t.Fatal(err)
				}
			}
			return client
		}
		defer use((&shmconn.Dialer{RingSize: 8192}).Dial).Close()
		defer use(net.Dial).Close()

		r := runProgram(t, "", "stat", "-json", path)
		var got listening
		if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || r.code != 0 {
			t.Fatalf("exit code %d, %v\n%s%s", r.code, err, r.stdout, r.stderr)
		}
		if len(got.Processes) != 1 {
			t.Fatalf("want one process\n%s", r.stdout)
		}
		p := got.Processes[0]
		if got.Socket != path || p.PID != proxy.Process.Pid || !p.Listens || p.Connections != 2 || len(p.Shared) != 1 {
			t.Fatalf("want the proxy with two connections, one shared\n%s", r.stdout)
		}
		if s := p.Shared[0]; s.RingToClient != 8192 || s.Sent == nil || *s.Sent != 10 || s.Received == nil || *s.Received != 1000 {
			t.Errorf("want a ring of 8192 bytes, 10 sent, 1000 received\n%s", r.stdout)
		}
		r = runProgram(t, "", "stat", path)
		for _, want := range []string{
			fmt.Sprintf("process %d (", p.PID),
			") listens at " + path + ": 2 connections, 1 over shared memory\n",
			"8192", "1000",
		} {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("no %q in\n%s", want, r.stdout)
			}
		}
	}
}

// TestStatNobody is asked about what is not there.
func TestStatNobody(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "missing"): "no such file or directory",
		file:                          "nobody listens at " + file,
		"@shmconn-nobody":             "nobody listens at @shmconn-nobody",
	} {
		if r := runProgram(t, "", "stat", path); r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: exit code %d, %q; want %q", path, r.code, r.stderr, want)
		}
	}
	if r := runProgram(t, "", "stat"); r.code != 2 {
		t.Errorf("without an operand: exit code %d, want 2", r.code)
	}
}

// TestStatStranger is asked by somebody who may not look into the server's process.
func TestStatStranger(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs a process of another user: run as root")
	}
	path := fmt.Sprintf("@shmconn-test-stranger-%d", os.Getpid())
	l, err := shmconn.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "stat", path)
	cmd.Env = program(t).Env
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65533, Gid: 65533}}
	if r := finish(t, cmd, ""); r.code != 1 || !strings.Contains(r.stderr, "belongs to another user: permission denied") {
		t.Errorf("exit code %d, %q", r.code, r.stderr)
	}
}
