package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shmconn/shmconn/bench/internal/arm"
	"github.com/shmconn/shmconn/bench/internal/packet"
	"github.com/shmconn/shmconn/bench/internal/proc"
	"github.com/shmconn/shmconn/bench/internal/run"
	"github.com/shmconn/shmconn/bench/internal/work"
)

// armResult returns an arm with three samples of about ns per operation.
func armResult(name string, ns time.Duration) run.ArmResult {
	a := run.ArmResult{Arm: name, Latency: work.NewLatency().Hist}
	for i := range time.Duration(3) {
		const ops = 1000
		a.Samples = append(a.Samples, run.Sample{Ops: ops, Elapsed: ops * (ns + i), CPU: 2 * ops * ns, Switches: ops / 2})
	}
	for i := range int64(1000) {
		_ = a.Latency.RecordValue(int64(ns) + i)
	}
	return a
}

func results() *run.Results {
	idle := func(name string, pss int64) run.ArmResult {
		f := proc.Footprint{Rss: 2 * pss * 1000, Pss: pss * 1000, Goroutines: 1000}
		return run.ArmResult{Arm: name, Conns: 1000, Client: f, Server: f, Samples: []run.Sample{{Ops: 1000, Elapsed: time.Second, CPU: time.Millisecond}}}
	}
	return &run.Results{
		Machine: run.Machine{CPU: "Test CPU", CPUs: 2, Kernel: "6.1", Go: "go1.26", OS: "linux", Arch: "amd64"},
		Started: time.Unix(1e9, 0).UTC(),
		Command: "go run ./bench -rounds 3",
		Rounds:  3,
		Slice:   100 * time.Millisecond,
		Skipped: []string{"dbus: not installed"},
		Rows: []run.RowResult{
			{
				Row: run.Row{Workload: "pingpong/64B"}, Name: "pingpong/64B", Op: "round trip",
				Arms: []run.ArmResult{
					armResult(arm.Shmconn, 500), armResult(arm.Unix, 25_000),
					{Arm: arm.Shmipc, Err: "worker died:\n\tsignal"},
				},
				Verdicts: []run.Verdict{{Bound: "≥40x", Got: 50, Want: 40, Holds: true}},
			},
			{
				Row: run.Row{Workload: "stream/1MiB", Condition: run.Busy}, Name: "stream/1MiB@busy", Op: "write", Payload: 1 << 20,
				Arms:     []run.ArmResult{armResult(arm.Shmconn, 400_000), armResult(arm.Unix, 200_000)},
				Verdicts: []run.Verdict{{Bound: "≥1x", Got: 0.5, Want: 1}},
			},
			{
				Row: run.Row{Workload: "stream/1KiB"}, Name: "stream/1KiB", Op: "write", Payload: 1 << 10,
				Arms: []run.ArmResult{armResult(arm.Shmconn, 100), armResult(arm.Unix, 2_000)},
			},
			{
				Row: run.Row{Workload: "idle/1000"}, Name: "idle/1000",
				Arms:     []run.ArmResult{idle(arm.Shmconn, 20<<10), idle(arm.Unix, 10<<10)},
				Verdicts: []run.Verdict{{Bound: "memory≤unix+32KiB", Got: 10 << 10, Want: 32 << 10, Holds: true}},
			},
		},
		Packets: []run.PacketPoint{
			{Arm: packet.Ring, Size: 32, PerPacket: []time.Duration{20, 30, 25}},
			{Arm: arm.Unix, Size: 32, PerPacket: []time.Duration{2000}},
			{Arm: packet.Ring, Size: 64, PerPacket: []time.Duration{21}},
			{Arm: arm.Unix, Size: 64, Err: "broken"},
		},
		PacketVerdicts: []run.Verdict{{Bound: "≥3x unix", Got: 4.25, Want: 3, Holds: true}, {Bound: "≥60x dbus", Got: 59, Want: 60}},
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	if err := Table(&b, results()); err != nil {
		t.Fatal(err)
	}
	table := b.String()
	for _, want := range []string{
		`2 x Test CPU, Linux 6.1`,
		`command: go run ./bench -rounds 3`,
		`skipped: dbus: not installed`,
		`pingpong/64B +shmconn +501 ns +0% +- +\d+ ns .* 49.9x +\[49.9 50.0\] +≥40x ok`,
		`pingpong/64B +unix +25.0 us`,
		`pingpong/64B +shmipc +- .*failed: worker died: signal`,
		`stream/1MiB@busy +shmconn +400 us +0% +2.62 .*0.50x.*≥1x LOST \(0.5\)`,
		`idle/1000 +shmconn +20.0 KiB +40.0 KiB +1.00 .* 1.00 us +memory≤unix\+32KiB ok`,
		`32B +25.0 ns +2.00 us`,
		`64B +21.0 ns +failed: broken`,
		`sharedring at 64KiB: ≥3x unix ok \(4.25\), ≥60x dbus LOST \(59\)`,
		`Bounds: 3 hold, 2 lost`,
		`lost: packet ≥60x dbus LOST \(59\)`,
		`lost: stream/1MiB@busy ≥1x LOST \(0.5\)`,
		`go run ./bench -run '\^ROW\$' -rounds 3 -slice 100ms`,
	} {
		if !regexp.MustCompile(want).MatchString(table) {
			t.Errorf("no match for %q in\n%s", want, table)
		}
	}
}

func TestTableOfNothing(t *testing.T) {
	var b bytes.Buffer
	if err := Table(&b, &run.Results{}); err != nil || strings.Contains(b.String(), "time/op") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	if err := JSON(&b, results()); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Command string
		Rows    []struct {
			Name string
			Arms []struct {
				Arm       string
				Err       string
				Samples   []run.Sample
				NsPerOp   *run.Summary
				UnixOver  *run.Summary
				LatencyNs map[string]int64
			}
			Verdicts []run.Verdict
		}
		Packets        []run.PacketPoint
		PacketVerdicts []run.Verdict
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	shm := got.Rows[0].Arms[0]
	if len(got.Rows) != 4 || len(got.Packets) != 4 || len(got.PacketVerdicts) != 2 || len(shm.Samples) != 3 {
		t.Errorf("%d rows, %d packets, %d samples", len(got.Rows), len(got.Packets), len(shm.Samples))
	}
	if shm.NsPerOp == nil || shm.NsPerOp.Median != 501 || shm.UnixOver == nil || shm.LatencyNs["99"] < 500 {
		t.Errorf("shmconn: %+v", shm)
	}
	if failed := got.Rows[0].Arms[2]; failed.Err == "" || failed.NsPerOp != nil {
		t.Errorf("failed arm: %+v", failed)
	}
	if v := got.Rows[1].Verdicts; len(v) != 1 || v[0].Holds {
		t.Errorf("verdicts: %+v", v)
	}
}

func TestBenchfmt(t *testing.T) {
	var b bytes.Buffer
	if err := Benchfmt(&b, results()); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	format := regexp.MustCompile(`^(goos|goarch|pkg|cpu): \S|^Benchmark[A-Z]\S*-2\t\d+(\t[\d.e+]+ \S+)+$`)
	for _, line := range lines {
		if !format.MatchString(line) {
			t.Errorf("line %q", line)
		}
	}
	// 4 of the head; 3 for each arm that moves data, 1 for each idle one; 5 of packets.
	if want := 4 + 3*6 + 2 + 5; len(lines) != want {
		t.Errorf("%d lines, want %d", len(lines), want)
	}
	if want := "BenchmarkStream/1MiB/under=busy/arm=unix-2\t1000\t2e+05 ns/op"; !strings.Contains(b.String(), want) {
		t.Errorf("no line %q in\n%s", want, b.String())
	}
}

func TestCharts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	files, err := Charts(dir, results())
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 12 {
		t.Errorf("%d files: %q", len(files), files)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		switch filepath.Ext(name) {
		case ".png":
			if _, err := png.Decode(f); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case ".svg":
			var svg struct{ XMLName xml.Name }
			if err := xml.NewDecoder(f).Decode(&svg); err != nil || svg.XMLName.Local != "svg" {
				t.Errorf("%s: %v, %v", name, svg.XMLName, err)
			}
		default:
			t.Errorf("what is %s?", name)
		}
	}
	if files, err := Charts(dir, &run.Results{}); err != nil || len(files) != 0 {
		t.Errorf("charts of nothing: %q, %v", files, err)
	}
}

func TestDuration(t *testing.T) {
	for ns, want := range map[float64]string{
		0.25: "0.25 ns", 12.34: "12.3 ns", 999.4: "999 ns", 999.6: "1.00 us",
		45_678: "45.7 us", 999_600: "1.00 ms", 2.5e9: "2.50 s", 9.996: "10.0 ns",
	} {
		if got := Duration(ns); got != want {
			t.Errorf("Duration(%v) = %q, want %q", ns, got, want)
		}
	}
}
