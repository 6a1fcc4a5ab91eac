package main

import (
	"context"
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

// TestStat looks, from a process of its own, at this one, which has a connection over shared memory
// with a third process and a plain one.
func TestStat(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "s"), fmt.Sprintf("@shmconn-test-%d", os.Getpid())} {
		lc := shmconn.ListenConfig{RingSize: 8192}
		l, err := lc.Listen(context.Background(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		cat := program(t, "cat", "shm:"+path)
		in, err := cat.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cat.Start(); err != nil {
			t.Fatal(err)
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		plain, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(make([]byte, 10)); err != nil {
			t.Fatal(err)
		}

		r := runProgram(t, "", "stat", "-json", path)
		var got listening
		if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || r.code != 0 {
			t.Fatalf("exit code %d, %v\n%s%s", r.code, err, r.stdout, r.stderr)
		}
		if len(got.Processes) != 1 {
			t.Fatalf("processes %+v, want this one", got.Processes)
		}
		p := got.Processes[0]
		if got.Socket != path || p.PID != os.Getpid() || !p.Listens || p.Connections != 2 || len(p.Shared) != 1 {
			t.Fatalf("%+v", got)
		}
		if s := p.Shared[0]; s.RingToClient != 8192 || s.Sent == nil || *s.Sent != 10 || s.Received == nil || *s.Received != 1000 {
			t.Errorf("shared %s, want a ring of 8192 bytes, 10 sent, 1000 received", r.stdout)
		}
		r = runProgram(t, "", "stat", path)
		for _, want := range []string{
			fmt.Sprintf("process %d (", os.Getpid()),
			") listens at " + path + ": 2 connections, 1 over shared memory\n",
			"8192", "1000",
		} {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("no %q in\n%s", want, r.stdout)
			}
		}

		in.Close()
		conn.Close()
		plain.Close()
		far.Close()
		if err := cat.Wait(); err != nil {
			t.Error(err)
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
