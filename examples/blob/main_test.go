package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"
	"time"
)

// TestProgram runs the example as its reader does.
func TestProgram(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("connections over shared memory need Linux: run it there")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	program := filepath.Join(t.TempDir(), "blob")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, args := range [][]string{{"-size", "20000001"}, {"-size", "1"}, {"-file", "main.go"}} {
		out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		want := `^sender: +\d+ bytes written and sealed, .*\nreceiver: io.Copy .* SHA-256 verified .*\nreceiver: SendFile .* SHA-256 verified .*\n$`
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("%v: output:\n%s", args, out)
		}
	}
	for _, args := range [][]string{{"-size", "0"}, {"-file", "missing"}, {"-receive-from", "missing"}} {
		if err := exec.CommandContext(ctx, program, args...).Run(); err == nil {
			t.Errorf("%v: ran", args)
		}
	}
}
