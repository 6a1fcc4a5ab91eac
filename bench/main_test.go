//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shmconn/shmconn/bench/internal/proc"
	"github.com/shmconn/shmconn/bench/internal/run"
)

func TestMain(m *testing.M) {
	proc.Main()
	os.Exit(m.Run())
}

func TestBench(t *testing.T) {
	dir := t.TempDir()
	jsonFile, benchFile, charts := filepath.Join(dir, "o.json"), filepath.Join(dir, "o.txt"), filepath.Join(dir, "charts")
	var out, errs bytes.Buffer
	err := bench([]string{
		"-run", "^(pingpong|stream)/1KiB$", "-arm", "^(unix|tcp)$", "-rounds", "2", "-slice", "5ms",
		"-json", jsonFile, "-benchfmt", benchFile, "-charts", charts, "-check",
	}, &out, &errs)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"pingpong/1KiB", "stream/1KiB", "unix", "tcp", "Bounds: 0 hold, 0 lost", `-arm '^(unix|tcp)$'`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if !strings.Contains(errs.String(), "measuring for about") {
		t.Errorf("no word of how long it takes: %q", errs.String())
	}
	b, err := os.ReadFile(jsonFile)
	if err != nil {
		t.Fatal(err)
	}
	var r run.Results
	if err := json.Unmarshal(b, &r); err != nil || len(r.Rows) != 2 {
		t.Errorf("JSON: %d rows, %v", len(r.Rows), err)
	}
	if want := "go run ./bench -run '^pingpong/1KiB$'"; len(r.Rows) > 0 && !strings.HasPrefix(r.Rows[0].Command, want) {
		t.Errorf("command of a row: %q", r.Rows[0].Command)
	}
	if b, err := os.ReadFile(benchFile); err != nil || bytes.Count(b, []byte("\nBenchmark")) != 8 {
		t.Errorf("benchmark lines: %v\n%s", err, b)
	}
	if files, err := filepath.Glob(filepath.Join(charts, "*.svg")); err != nil || len(files) == 0 {
		t.Errorf("charts: %q, %v", files, err)
	}
}

func TestJSONAlone(t *testing.T) {
	var out bytes.Buffer
	args := []string{"-run", "^pingpong/8B$", "-arm", "^pipe$", "-rounds", "1", "-slice", "2ms", "-json", "-"}
	if err := bench(args, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if !json.Valid(out.Bytes()) {
		t.Errorf("not JSON alone:\n%s", out.String())
	}
}

func TestLostBoundsFail(t *testing.T) {
	// One slice says nothing about speed; -check only has to agree with it.
	var out bytes.Buffer
	args := []string{"-run", "^stream/64B$", "-arm", "^(shmconn|unix)$", "-rounds", "1", "-slice", "2ms"}
	err := bench(append(args, "-check"), &out, io.Discard)
	if lost := strings.Contains(out.String(), "LOST"); lost != errors.Is(err, errLost) {
		t.Errorf("-check = %v of\n%s", err, out.String())
	}
	if err := bench(args, io.Discard, io.Discard); err != nil {
		t.Errorf("without -check: %v", err)
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{
		{"-run", "("}, {"-arm", "["}, {"-rounds", "0"}, {"-slice", "0s"}, {"-slice", "x"}, {"extra"}, {"-run", "nonsense"},
	} {
		if err := bench(args, io.Discard, io.Discard); err == nil {
			t.Errorf("bench(%q) has nothing to say", args)
		}
	}
	if err := bench([]string{"-h"}, io.Discard, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
}

func TestList(t *testing.T) {
	var out bytes.Buffer
	if err := bench([]string{"-list", "-run", "64B"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"pingpong/64B ", "http/64B/16@busy", "shmconn unix", "c-ring"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "1KiB") {
		t.Errorf("rows that were not asked for:\n%s", out.String())
	}
}

func TestDefaultRunTakesMinutes(t *testing.T) {
	c, err := parse(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, d := c.Plan(); d < time.Minute || d > 6*time.Minute {
		t.Errorf("the default run takes %v", d)
	}
}

func TestCommandLine(t *testing.T) {
	got := commandLine([]string{"-run", "^a|b$", "-rounds", "3", "it's"})
	if want := `go run ./bench -run '^a|b$' -rounds 3 'it'\''s'`; got != want {
		t.Errorf("commandLine = %s, want %s", got, want)
	}
}
