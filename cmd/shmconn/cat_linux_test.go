package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// awaitListener returns when somebody listens on e. A socket's file is there a moment earlier.
func awaitListener(t *testing.T, e endpoint) {
	t.Helper()
	listening := regexp.MustCompile(` 00010000 .* ` + regexp.QuoteMeta(e.address) + "\n") // __SO_ACCEPTCON
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		sockets, err := os.ReadFile("/proc/net/unix")
		if err != nil {
			t.Fatal(err)
		}
		if listening.Match(sockets) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nobody listens on %v", e)
		}
	}
}

// TestCat sends a stream from one cat to another, which sends nothing.
func TestCat(t *testing.T) {
	for _, network := range []string{"shm", "unix", "plain"} {
		for _, size := range []int{0, 1, 5_000_000} {
			e := freshEndpoint(t, network)
			data := string(randomBytes(1, size))
			server := program(t, "cat", "-l", e.String())
			served := make(chan result)
			go func() { served <- finish(t, server, "") }()
			awaitListener(t, e)
			if r := runProgram(t, data, "cat", e.String()); r != (result{}) {
				t.Errorf("%s: client: %d, %q, %q", network, r.code, r.stdout, r.stderr)
			}
			if r := <-served; r != (result{stdout: data}) {
				t.Errorf("%s: server: %d, %d bytes, want %d, %q", network, r.code, len(r.stdout), len(data), r.stderr)
			}
			if _, err := os.Stat(e.address); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: socket file: %v", network, err)
			}
		}
	}
}

// TestCatFiles has files at both ends, which are read into and written from the ring itself, and a
// server that answers only when it has seen the end.
func TestCatFiles(t *testing.T) {
	e := serve(t, "shm", reverse)
	data := randomBytes(2, 9_000_000)
	name := socketPath(t)
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(name + ".out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := program(t, "cat", e.String())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name + ".out")
	for i, j := 0, len(got)-1; i < j; i, j = i+1, j-1 {
		got[i], got[j] = got[j], got[i]
	}
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d other bytes came back, %v", len(got), err)
	}
}

// TestCatServerGone ends although standard input does not: the other side is gone.
func TestCatServerGone(t *testing.T) {
	e := serve(t, "shm", func(c stream) { io.WriteString(c, "bye\n") })
	p := start(t, "cat", e.String())
	if out, err := io.ReadAll(p.out); string(out) != "bye\n" || err != nil {
		t.Errorf("output %q, %v", out, err)
	}
	if code := p.wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestCatServerRefuses prints what the server says although it does not take the input.
func TestCatServerRefuses(t *testing.T) {
	e := serve(t, "shm", func(c stream) {
		c.CloseRead()
		io.ReadFull(c, make([]byte, 1))
		io.WriteString(c, "no\n")
	})
	r := runProgram(t, strings.Repeat("please ", 1<<20), "cat", e.String())
	if r.code != 1 || r.stdout != "no\n" || !strings.Contains(r.stderr, "broken pipe") {
		t.Errorf("exit code %d, output %q, error %q", r.code, r.stdout, r.stderr)
	}
}

// TestCatFails explains why there is no connection.
func TestCatFails(t *testing.T) {
	plain := serve(t, "plain", func(c stream) { io.WriteString(c, "220 plain\r\n") })
	for _, test := range []struct{ address, want string }{
		{"shm:/nonexistent/s", "shmconn cat: dial unix /nonexistent/s: connect: no such file or directory\n"},
		{"shm:" + plain.address, "server does not offer shared memory"},
	} {
		if r := runProgram(t, "", "cat", test.address); r.code != 1 || !strings.Contains(r.stderr, test.want) {
			t.Errorf("exit code %d, %q, want %q", r.code, r.stderr, test.want)
		}
	}
}

// TestCatInterrupted removes the socket file.
func TestCatInterrupted(t *testing.T) {
	e := freshEndpoint(t, "shm")
	p := start(t, "cat", "-l", e.String())
	awaitListener(t, e)
	p.Process.Signal(syscall.SIGTERM)
	p.says(t, "shmconn cat: interrupted")
	if code := p.wait(t); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(e.address); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("socket file: %v", err)
	}
}
