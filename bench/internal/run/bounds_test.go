package run

import (
	"slices"
	"testing"
	"time"

	"github.com/shmconn/shmconn/bench/internal/arm"
	"github.com/shmconn/shmconn/bench/internal/packet"
	"github.com/shmconn/shmconn/bench/internal/proc"
	"github.com/shmconn/shmconn/bench/internal/work"
)

func TestEveryBoundHasItsRow(t *testing.T) {
	for name := range speedups {
		if _, err := work.ByName(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := work.ByName(cRingWorkload); err != nil {
		t.Error(err)
	}
}

// rowOf returns a result with one sample of each arm.
func rowOf(row Row, ns map[string]time.Duration) *RowResult {
	r := &RowResult{Row: row, Name: row.Name()}
	for _, name := range allArms() {
		if d, ok := ns[name]; ok {
			r.Arms = append(r.Arms, ArmResult{Arm: name, Samples: samples(d)})
		}
	}
	return r
}

func TestJudge(t *testing.T) {
	type times = map[string]time.Duration
	for _, c := range []struct {
		name string
		row  Row
		ns   times
		want []string
	}{
		{"all hold", Row{"pingpong/64B", Plain}, times{arm.Shmconn: 100, arm.Unix: 5000, arm.Shmipc: 900, arm.CRing: 50},
			[]string{"≥40x ok", "CPU≤unix ok", ">shmipc ok", "≤2.5xC ok"}},
		{"all lost", Row{"pingpong/64B", Plain}, times{arm.Shmconn: 1000, arm.Unix: 500, arm.Shmipc: 900, arm.CRing: 50},
			[]string{"≥40x LOST (0.5)", "CPU≤unix LOST (2)", ">shmipc LOST (0.9)", "≤2.5xC LOST (20)"}},
		{"busy", Row{"pingpong/64B", Busy}, times{arm.Shmconn: 100, arm.Unix: 101},
			[]string{"≥1x ok", "CPU≤unix ok"}},
		{"no bound on speed", Row{"stream/4KiB", Plain}, times{arm.Shmconn: 100, arm.Unix: 90},
			[]string{"CPU≤unix LOST (1.11)"}},
		{"nothing to compare", Row{"pingpong/64B", Plain}, times{arm.Shmconn: 100, "tcp": 90}, nil},
		{"not measured", Row{"pingpong/64B", Plain}, times{arm.Unix: 100}, nil},
	} {
		var got []string
		for _, v := range judge(rowOf(c.row, c.ns)) {
			got = append(got, v.String())
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %q, want %q", c.name, got[i], c.want[i])
			}
		}
	}
}

func TestFailureIsALoss(t *testing.T) {
	r := rowOf(Row{"pingpong/64B", Plain}, map[string]time.Duration{arm.Shmconn: 1, arm.Unix: 100})
	r.Arms[0].Err = "message 3: stamp"
	if v := judge(r); len(v) != 1 || v[0].Holds {
		t.Errorf("judge = %v, want one loss", v)
	}
}

func TestJudgeIdle(t *testing.T) {
	const conns = 1000
	mk := func(name string, pss int64, goroutines int, cpu time.Duration) ArmResult {
		f := proc.Footprint{Rss: pss, Pss: pss, Goroutines: goroutines}
		return ArmResult{Arm: name, Conns: conns, Client: f, Server: f,
			Samples: []Sample{{Ops: conns, Elapsed: time.Second, CPU: cpu}}}
	}
	unix := mk(arm.Unix, 10<<10*conns, conns, time.Millisecond)
	for _, c := range []struct {
		name  string
		shm   ArmResult
		holds []bool // CPU, memory, goroutines
	}{
		{"holds", mk(arm.Shmconn, 42<<10*conns, conns+3, time.Millisecond), []bool{true, true, true}},
		{"memory", mk(arm.Shmconn, 43<<10*conns, conns, time.Millisecond), []bool{true, false, true}},
		{"goroutines", mk(arm.Shmconn, 0, 2*conns, time.Millisecond), []bool{true, true, false}},
		{"CPU", mk(arm.Shmconn, 0, conns, 5*time.Millisecond), []bool{false, true, true}},
	} {
		r := &RowResult{Row: Row{Workload: work.Idle{Conns: conns}.Name()}, Arms: []ArmResult{c.shm, unix}}
		verdicts := judge(r)
		if len(verdicts) != len(c.holds) {
			t.Fatalf("%s: %v", c.name, verdicts)
		}
		for i, v := range verdicts {
			if v.Holds != c.holds[i] {
				t.Errorf("%s: %v", c.name, v)
			}
		}
	}
}

func TestJudgePackets(t *testing.T) {
	point := func(arm string, size int, err string, ns ...time.Duration) PacketPoint {
		return PacketPoint{Arm: arm, Size: size, PerPacket: ns, Err: err}
	}
	const size = PacketBoundSize
	for _, c := range []struct {
		name   string
		points []PacketPoint
		want   []string
	}{
		// Quotients are those of each round: 3, 3 and 1000.
		{"hold", []PacketPoint{point(packet.Sharedring, size, "", 10, 20, 1), point(arm.Unix, size, "", 30, 60, 1000),
			point(arm.DBus, size, "", 600, 1200, 60)}, []string{"≥3x unix ok", "≥60x dbus ok"}},
		{"lost", []PacketPoint{point(packet.Sharedring, size, "", 10), point(arm.Unix, size, "", 29), point(arm.DBus, size, "", 590)},
			[]string{"≥3x unix LOST (2.9)", "≥60x dbus LOST (59)"}},
		{"other sizes", []PacketPoint{point(packet.Sharedring, size/2, "", 10), point(arm.Unix, size/2, "", 10)}, nil},
		{"no bus", []PacketPoint{point(packet.Sharedring, size, "", 10), point(arm.Unix, size, "", 40), point(arm.DBus, size, "lost")},
			[]string{"≥3x unix ok"}},
		{"failed", []PacketPoint{point(packet.Sharedring, size, "wrong sum"), point(arm.Unix, size, "", 40)}, []string{"runs LOST (0)"}},
		{"nothing", nil, nil},
	} {
		var got []string
		for _, v := range JudgePackets(c.points) {
			got = append(got, v.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if !slices.Contains(packet.Sizes(), size) {
		t.Error("the figure does not have the size of its bounds")
	}
}
