package run

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shmconn/shmconn/bench/internal/arm"
	"github.com/shmconn/shmconn/bench/internal/packet"
	"github.com/shmconn/shmconn/bench/internal/proc"
	"github.com/shmconn/shmconn/bench/internal/work"
)

func TestMain(m *testing.M) {
	proc.Main()
	os.Exit(m.Run())
}

func newRunner(t *testing.T, opts Options) *Runner {
	t.Helper()
	r, err := NewRunner(opts, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// TestEverything does every workload on every arm, between processes, with
// all verification. With -short it leaves out the arms of others.
func TestEverything(t *testing.T) {
	opts := Options{Run: regexp.MustCompile(`^[^@]*$`), Rounds: 1, Slice: 2 * time.Millisecond}
	if testing.Short() {
		opts.Arm = regexp.MustCompile("^(" + arm.Shmconn + "|" + arm.Unix + ")$")
	}
	r := newRunner(t, opts)
	rows := 0
	err := r.Rows(func(row RowResult) {
		rows++
		for _, a := range row.Arms {
			check(t, r, row, a)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := len(work.All()); rows != want {
		t.Errorf("%d rows, want %d", rows, want)
	}
}

// check looks at one arm's result of one round.
func check(t *testing.T, r *Runner, row RowResult, a ArmResult) {
	t.Helper()
	if r.missing[a.Arm] != nil {
		if !strings.HasPrefix(a.Err, "skipped") {
			t.Errorf("%s %s: %q, want it skipped", row.Name, a.Arm, a.Err)
		}
		return
	}
	if a.Err != "" {
		t.Errorf("%s %s: %s", row.Name, a.Arm, a.Err)
		return
	}
	if len(a.Samples) != 1 || a.Samples[0].Ops == 0 || a.Samples[0].Elapsed == 0 {
		t.Errorf("%s %s: samples %v", row.Name, a.Arm, a.Samples)
	}
	if work.Kind(row.Row.Workload) != work.KindIdle {
		return
	}
	if a.Conns == 0 || a.Server.Rss <= 0 || a.Server.Goroutines < int(a.Conns) {
		t.Errorf("%s %s: %d connections, server holds %+v", row.Name, a.Arm, a.Conns, a.Server)
	}
}

func TestConditions(t *testing.T) {
	r := newRunner(t, Options{
		Run:    regexp.MustCompile(`^pingpong/64B@`),
		Arm:    regexp.MustCompile(`^(shmconn|unix)$`),
		Rounds: 1,
		Slice:  5 * time.Millisecond,
	})
	var seen []Condition
	err := r.Rows(func(row RowResult) {
		seen = append(seen, row.Row.Condition)
		for _, a := range row.Arms {
			if a.Err != "" {
				t.Errorf("%s %s: %s", row.Name, a.Arm, a.Err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != 2 || seen[0] != Busy || seen[1] != OneProc {
		t.Errorf("conditions %v", seen)
	}
	if r.spinners != nil || len(r.pairs) != 0 {
		t.Error("processes are left over")
	}
}

func TestPackets(t *testing.T) {
	r := newRunner(t, Options{})
	sizes := []int{32, 128 << 10}
	points, err := r.Packets(sizes)
	if err != nil {
		t.Fatal(err)
	}
	arms := len(packet.Arms())
	if r.missing[arm.DBus] != nil {
		arms--
	}
	if want := arms * len(sizes); len(points) != want {
		t.Errorf("%d points, want %d", len(points), want)
	}
	for _, p := range points {
		if p.Err != "" || len(p.PerPacket) != packetRounds || p.PerPacket[0] <= 0 {
			t.Errorf("%+v", p)
		}
	}
}

func TestAFailedArmIsOutAndTheOthersGoOn(t *testing.T) {
	r := newRunner(t, Options{
		Run:    regexp.MustCompile(`^pingpong/(8B|64B)$`),
		Arm:    regexp.MustCompile(`^(unix|tcp)$`),
		Rounds: 2,
		Slice:  5 * time.Millisecond,
	})
	// The processes of one arm die in the first row, in its second slice.
	slices := 0
	r.progress = func(what string) {
		if what == "pingpong/8B tcp" {
			if slices++; slices == 2 {
				r.pairs["tcp"].kill()
			}
		}
	}
	var rows []RowResult
	if err := r.Rows(func(row RowResult) { rows = append(rows, row) }); err != nil {
		t.Fatal(err)
	}
	if got := rows[0]; got.Arm("tcp") != nil || got.Arm("unix") == nil || len(got.Arms) != 2 {
		t.Errorf("first row: %+v, want tcp failed and unix not", got.Arms)
	}
	if got := rows[1]; got.Arm("tcp") == nil || got.Arm("unix") == nil {
		t.Errorf("second row: %+v, want both", got.Arms)
	}
}

func TestRowNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, row := range Rows() {
		if seen[row.Name()] {
			t.Errorf("two rows %q", row.Name())
		}
		seen[row.Name()] = true
	}
	for _, want := range []string{"pingpong/64B", "dial@busy", "stream/1MiB@procs1"} {
		if !seen[want] {
			t.Errorf("no row %q", want)
		}
	}
}
