package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestProgram runs the example as its reader does.
func TestProgram(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("shared queues need Linux: run it there")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	program := filepath.Join(t.TempDir(), "frames")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	image := filepath.Join(t.TempDir(), "latency.svg")
	out, err := exec.CommandContext(ctx, program, "-rate", "500", "-seconds", "0.4", "-plot", image).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !regexp.MustCompile(`(?s)sink: \d+ frames, latency  p50 .*#\n.*source: \d+ frames sent, \d+ dropped`).Match(out) {
		t.Errorf("output:\n%s", out)
	}
	if text, err := os.ReadFile(image); err != nil || !regexp.MustCompile(`(?s)<svg.*>Latency of \d+ frames<.*>50%<`).Match(text) {
		t.Errorf("plot: %v\n%.1000s", err, text)
	}
	for _, args := range [][]string{{"-rate", "0"}, {"-seconds", "0"}, {"-sink", "5"}, {"-seconds", "0.1", "-plot", filepath.Join(t.TempDir(), "latency.unknown")}} {
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Stdin, _ = os.Open(os.DevNull)
		if err := cmd.Run(); err == nil {
			t.Errorf("%v: ran", args)
		}
	}
}

func TestLatencies(t *testing.T) {
	var l latencies
	for i := range 1000 {
		l.add(time.Duration(1000-i) * time.Microsecond)
	}
	var out strings.Builder
	l.print(&out)
	want := "sink: 1000 frames, latency  p50 500µs  p90 900µs  p99 990µs  p99.9 999µs  max 1ms\n"
	if !strings.HasPrefix(out.String(), want) {
		t.Errorf("printed\n%swant\n%s", out.String(), want)
	}
	if !strings.Contains(out.String(), "    489 ") || !strings.HasSuffix(out.String(), "#\n") {
		t.Errorf("histogram\n%s", out.String())
	}
	out.Reset()
	latencies(nil).print(&out)
	if out.String() != "sink: no frames\n" {
		t.Errorf("printed %q", out.String())
	}
}

// Each frame is a step of the curve, and the maximum is its end.
func TestCurve(t *testing.T) {
	var l latencies
	for i := range 1000 {
		l.add(time.Duration(i) * time.Millisecond)
	}
	points := l.curve()
	for i, want := range map[int]float64{0: 1000.0 / 999, 499: 2, 899: 10, 989: 100, 998: 1000, 999: 1000} {
		if points[i].X != want || points[i].Y != max(float64(i)/1000, 1e-9) {
			t.Errorf("frame %d is at %v, want %v", i, points[i], want)
		}
	}
	for _, l := range []latencies{{0}, {time.Second, time.Second}, l} {
		if err := l.plot(filepath.Join(t.TempDir(), "plot.png")); err != nil {
			t.Error(err)
		}
	}
}
