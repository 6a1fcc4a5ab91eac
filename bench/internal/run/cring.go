package run

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/shmconn/shmconn/bench/internal/proc"
	"github.com/shmconn/shmconn/bench/internal/work"
)

// cRingWorkload is the row in which the C ring is a bound. In others that have
// a bound it only shows what the machine can do.
const cRingWorkload = "pingpong/64B"

//go:embed c/cring.c
var cRingSource []byte

// cRing is a spinning ring between two processes, in C: what the machine can
// do when nobody ever sleeps. It has no connection to keep; each slice is a
// run of the program.
type cRing struct {
	path string
	args []string // what it is to do, and the size of a message
}

// cRingArgs returns the C ring's arguments for a row, nil if it is not part of it.
func cRingArgs(r Row) []string {
	if r.Condition != Plain && (r.Workload != cRingWorkload || r.Condition == OneProc) {
		return nil
	}
	if _, bounded := speedups[r.Workload]; !bounded {
		return nil
	}
	w, err := work.ByName(r.Workload)
	if err != nil {
		return nil
	}
	switch w := w.(type) {
	case work.PingPong:
		return []string{"pingpong", strconv.Itoa(w.Size)}
	case work.Stream:
		return []string{"stream", strconv.Itoa(w.Size)}
	}
	return nil
}

// in returns the C ring for a row that it is part of.
func (c *cRing) in(r Row) *cRing { return &cRing{c.path, cRingArgs(r)} }

// buildCRing compiles the program into dir.
func buildCRing(dir string) (*cRing, error) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		return nil, fmt.Errorf("%w (Debian: apt-get install gcc libc6-dev)", err)
	}
	source, path := filepath.Join(dir, "cring.c"), filepath.Join(dir, "cring")
	if err := os.WriteFile(source, cRingSource, 0o600); err != nil {
		return nil, err
	}
	if out, err := exec.Command(gcc, "-O2", "-o", path, source).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("gcc: %w: %s", err, out)
	}
	return &cRing{path: path}, nil
}

// slice times no single message: the clock would cost as much.
func (c *cRing) slice(d time.Duration, _ *hdrhistogram.Histogram) (Sample, error) {
	cmd := exec.Command(c.path, append(c.args, strconv.FormatInt(d.Milliseconds(), 10))...)
	out, err := cmd.Output()
	if err != nil {
		return Sample{}, fmt.Errorf("c-ring: %w", err)
	}
	var s Sample
	var ns int64
	if _, err := fmt.Sscan(string(out), &s.Ops, &ns); err != nil {
		return Sample{}, fmt.Errorf("c-ring said %q: %w", out, err)
	}
	s.Elapsed = time.Duration(ns)
	// The program waits for its child, whose usage the kernel adds to it.
	if ru, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u := proc.UsageOf(ru)
		s.CPU, s.Switches = u.CPU, u.Switches
	}
	return s, nil
}

func (c *cRing) close() error { return nil }
