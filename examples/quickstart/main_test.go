package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<17) // 2 MiB
	files := map[string][]byte{
		"empty":                nil,
		"a/b/c/small.txt":      []byte("small\n"),
		"a/big":                big,
		"a/index.html":         []byte("<p>served by way of a redirect"),
		"name with 100% of #;": []byte("needs escaping"),
		".hidden":              []byte("hidden"),
		"zipped.gz":            []byte("not really"),
	}
	var size int
	for name, content := range files {
		write(t, dir, name, content)
		size += len(content)
	}
	left := ""
	if runtime.GOOS != "windows" { // There, links take a privilege and names are never invalid.
		for link, target := range map[string]string{"dangling": "nowhere", "outside": "/etc", "a/loop": ".."} {
			if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
				t.Fatal(err)
			}
		}
		left = ", 3 links and special files left out"
	}
	if runtime.GOOS == "linux" {
		write(t, dir, "a/invalid\xff", []byte("no path of an fs.FS"))
		left += ", 1 unreadable left out (open a/invalid\xff: invalid argument)"
	}

	stdout, stderr, code := program(t, "-dir", dir, "-c", "3")
	if code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if stderr != "" {
		t.Errorf("on standard error, which is no terminal: %q", stderr)
	}
	want := []string{
		fmt.Sprintf("%s: %d files, %.1f MB%s", dir, len(files), megabytes(int64(size)), left),
		fmt.Sprintf("%s    %d files", unixSocket, len(files)),
		fmt.Sprintf("%s  %d files", sharedMemory, len(files)),
	}
	if runtime.GOOS != "linux" {
		want[2] = sharedMemory + " is not supported"
	}
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), stdout)
	}
	for i := range want {
		if !strings.HasPrefix(lines[i], want[i]) {
			t.Errorf("line %d is %q, want %q...", i+1, lines[i], want[i])
		}
	}
}

func TestRunFails(t *testing.T) {
	empty := t.TempDir()
	plain := filepath.Join(t.TempDir(), "plain")
	write(t, filepath.Dir(plain), "plain", []byte("no directory"))
	for _, test := range []struct {
		name, want string
		args       []string
		skip       bool
	}{
		{name: "missing", args: []string{"-dir", filepath.Join(empty, "none")}, want: filepath.Join(empty, "none")},
		{name: "file", args: []string{"-dir", plain}, want: plain},
		{name: "empty", args: []string{"-dir", empty}, want: "no regular file"},
		{name: "workers", args: []string{"-dir", empty, "-c", "0"}, want: "-c 0"},
		// The kernel's files claim a size of 0 but have content: the server, which goes by the size,
		// sends something else than the parent has read.
		{name: "differs", args: []string{"-dir", "/proc/sys/kernel/random", "-c", "1"},
			want: "differs from the file on disk", skip: runtime.GOOS != "linux"},
	} {
		if test.skip {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			stdout, stderr, code := program(t, test.args...)
			if code != 1 || !strings.HasPrefix(stderr, "quickstart: ") || !strings.Contains(stderr, test.want) {
				t.Errorf("exit code %d, want 1; standard error, want %q:\n%s\nstandard output:\n%s", code, test.want, stderr, stdout)
			}
		})
	}
}

// TestCorrupted changes the tree between its reading and the transfer.
func TestCorrupted(t *testing.T) {
	t.Setenv(roleVar, "main")
	ctx, cancel := context.WithTimeout(t.Context(), timeLimit)
	defer cancel()
	dir := t.TempDir()
	for i := range 20 {
		write(t, dir, fmt.Sprintf("file%02d", i), bytes.Repeat([]byte{byte(i)}, 5000))
	}
	seen, err := readTree(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(shortTempDir(t), "http.sock")
	stop, err := startServer(ctx, socket, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()

	for _, p := range passes(socket) {
		for _, test := range []struct {
			name, want string
			change     func()
		}{
			{"intact", "", func() {}},
			{"one byte", "file07: differs from the file on disk: 5000 bytes", func() {
				content := bytes.Repeat([]byte{7}, 5000)
				content[4999]++
				write(t, dir, "file07", content)
			}},
			{"shorter", "file07: differs from the file on disk: 4999 bytes", func() {
				write(t, dir, "file07", bytes.Repeat([]byte{7}, 4999))
			}},
			{"gone", "file07: the server answered 404", func() {
				if err := os.Remove(filepath.Join(dir, "file07")); err != nil {
					t.Fatal(err)
				}
			}},
		} {
			t.Run(p.carrier+"/"+test.name, func(t *testing.T) {
				test.change()
				defer write(t, dir, "file07", bytes.Repeat([]byte{7}, 5000))
				err := p.fetch(ctx, seen, 3)
				if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
					t.Errorf("fetch: %v, want %q", err, test.want)
				}
			})
		}
	}

	// A transfer that is not on the carrier that it claims is a failure even if the bytes are right.
	swapped := passes(socket)
	for i := range swapped {
		p := pass{carrier: swapped[len(swapped)-1-i].carrier, dial: swapped[i].dial}
		if len(swapped) == 1 {
			p.carrier = sharedMemory
		}
		want := fmt.Sprintf("connected over %s instead of %s", swapped[i].carrier, p.carrier)
		if err := p.fetch(ctx, seen, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("fetch: %v, want %q", err, want)
		}
	}

	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("unix", socket); err == nil {
		t.Error("the server still listens after stop")
	}
}

// TestCanceled checks that a transfer ends when its context does, here as soon as it has a connection.
func TestCanceled(t *testing.T) {
	t.Setenv(roleVar, "main")
	dir := t.TempDir()
	write(t, dir, "file", []byte("content"))
	seen, err := readTree(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(shortTempDir(t), "http.sock")
	stop, err := startServer(t.Context(), socket, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()

	for _, p := range passes(socket) {
		ctx, cancel := context.WithCancel(t.Context())
		connected := pass{carrier: p.carrier, dial: func(ctx context.Context) (net.Conn, error) {
			defer cancel()
			return p.dial(ctx)
		}}
		if err := connected.fetch(ctx, seen, 2); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want %v", p.carrier, err, context.Canceled)
		}
		if _, err := readTree(ctx, dir); !errors.Is(err, context.Canceled) {
			t.Errorf("readTree: %v, want %v", err, context.Canceled)
		}
	}
}

// TestServerFails checks that a server that cannot listen is an error at once.
func TestServerFails(t *testing.T) {
	t.Setenv(roleVar, "main")
	ctx, cancel := context.WithTimeout(t.Context(), timeLimit)
	defer cancel()
	_, err := startServer(ctx, filepath.Join(t.TempDir(), "none", "http.sock"), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "the server did not start") || ctx.Err() != nil {
		t.Errorf("startServer: %v", err)
	}
}

// TestParentKilled checks that a server goes with a parent that has no time to stop it. The two
// share one standard error, which ends when both are gone.
func TestParentKilled(t *testing.T) {
	stderr, childStderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	cmd := exec.Command(os.Args[0], filepath.Join(shortTempDir(t), "http.sock"), t.TempDir())
	cmd.Env = append(os.Environ(), roleVar+"=held")
	cmd.Stderr = childStderr
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	childStderr.Close()
	watchdog := time.AfterFunc(timeLimit, func() { cmd.Process.Kill(); stderr.Close() })
	defer watchdog.Stop()

	const started = "started: <nil>\n"
	line := make([]byte, len(started))
	if n, err := io.ReadFull(stdout, line); string(line[:n]) != started {
		t.Errorf("the parent said %q, %v", line[:n], err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if out, err := io.ReadAll(stderr); err != nil || len(out) > 0 {
		t.Errorf("after the parent's death: %q, %v", out, err)
	}
}
