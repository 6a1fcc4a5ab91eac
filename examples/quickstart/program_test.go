package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The test binary plays the program: started with this variable set it runs main, and so does the
// server that it starts in turn. All processes of a test are thus under the race detector if the
// test is.
const roleVar = "QUICKSTART_TEST_ROLE"

// timeLimit bounds each run of the program. It is far from what a run takes.
const timeLimit = time.Minute

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "main":
		main()
		os.Exit(0)
	case "held":
		held()
	}
	os.Exit(m.Run())
}

// held is a parent that starts its server and then does nothing until it is killed, or its own parent
// is gone. It waits for input because a program without cgo whose goroutines wait for nothing from
// outside ends by itself, as deadlocked.
func held() {
	os.Setenv(roleVar, "main")
	_, err := startServer(context.Background(), os.Args[1], os.Args[2])
	fmt.Println("started:", err)
	io.Copy(io.Discard, os.Stdin)
	os.Exit(1)
}

// program runs the program with the given arguments, and returns what it printed and its exit code.
// It fails the test if the program leaves something in its temporary directory.
func program(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeLimit)
	defer cancel()
	tmp := shortTempDir(t)
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), roleVar+"=main", "TMPDIR="+tmp, "TMP="+tmp)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatalf("no end after %v\n%s%s", timeLimit, &out, &errOut)
	}
	left, err := os.ReadDir(tmp)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// shortTempDir is t.TempDir with a path that leaves room for the name of a unix socket.
func shortTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "qs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// write makes a file, with its directories, below dir.
func write(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}
