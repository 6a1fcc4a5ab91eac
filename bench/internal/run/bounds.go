package run

import (
	"fmt"
	"math"

	"github.com/shmconn/shmconn/bench/internal/arm"
	"github.com/shmconn/shmconn/bench/internal/packet"
	"github.com/shmconn/shmconn/bench/internal/work"
)

// speedups are the least medians of the unix socket's time over shmconn's on
// a quiet machine with two processors. Under the other conditions the same
// rows must not be slower: see busySpeedup.
var speedups = map[string]float64{
	"pingpong/64B":        40,
	"pingpong/1KiB":       30,
	"pingpong/64KiB":      5,
	"stream/64B":          40,
	"stream/1KiB":         20,
	"stream/64KiB":        5,
	"stream/1MiB":         5,
	"http/64B/1":          4,
	"http/64KiB/1":        2.5,
	"http/64B/16":         1.7,
	"http/64KiB/16":       1.8,
	"grpc-unary/64B/1":    2.3,
	"grpc-unary/64KiB/1":  1.2,
	"grpc-unary/64B/16":   1.1,
	"grpc-unary/64KiB/16": 1.1,
	work.KindDial:         0.3,
}

// PacketBoundSize is the size in bytes at which the packet figure has bounds.
const PacketBoundSize = 64 << 10

// packetSpeedups are the least medians of another arm's time per packet over
// the shared queue's, in one thread: what the Rust crate shmem-ipc claims for
// its own in its README.
var packetSpeedups = []struct {
	arm  string
	want float64
}{{arm.Unix, 3}, {arm.DBus, 60}}

const (
	busySpeedup = 1.0
	// maxOfCRing is how many times the C ring's time shmconn may take.
	maxOfCRing = 2.5
	// maxIdleMemory is how many more bytes than a unix socket an idle
	// connection may hold on each side.
	maxIdleMemory = 32 << 10
	// maxIdleCPU is how many more nanoseconds of processor time than a unix
	// socket an idle connection may use in a second, both sides together: less
	// than any timer or poll of its own would, and more than the measurement
	// errs by.
	maxIdleCPU = 1000
)

// A Verdict says whether a bound holds.
type Verdict struct {
	Bound string // in the words of the table
	Got   float64
	Want  float64
	Holds bool
}

func atLeast(bound string, got, want float64) Verdict {
	return Verdict{bound, got, want, got >= want}
}

func atMost(bound string, got, want float64) Verdict {
	return Verdict{bound, got, want, got <= want}
}

// String writes "≥40x ok" or "≥40x LOST (12.3)".
func (v Verdict) String() string {
	if v.Holds {
		return v.Bound + " ok"
	}
	return fmt.Sprintf("%s LOST (%.3g)", v.Bound, v.Got)
}

// judge returns the bounds of a row. It has none where shmconn or what it is
// compared with was not measured; where shmconn was to be measured and
// failed, it has lost.
func judge(r *RowResult) []Verdict {
	var verdicts []Verdict
	for _, a := range r.Arms {
		if a.Arm == arm.Shmconn && a.Err != "" {
			return []Verdict{{Bound: "runs"}}
		}
	}
	shm := r.Arm(arm.Shmconn)
	if shm == nil {
		return nil
	}
	if work.Kind(r.Row.Workload) == work.KindIdle {
		return judgeIdle(shm, r.Arm(arm.Unix))
	}
	if unix := r.Arm(arm.Unix); unix != nil {
		if want, ok := speedups[r.Row.Workload]; ok {
			if r.Row.Condition != Plain {
				want = busySpeedup
			}
			got := Ratio(unix.Samples, shm.Samples, Sample.TimePerOp).Median
			verdicts = append(verdicts, atLeast(fmt.Sprintf("≥%gx", want), got, want))
		}
		cpu := Ratio(shm.Samples, unix.Samples, Sample.CPUPerOp).Median
		verdicts = append(verdicts, atMost("CPU≤unix", cpu, 1))
	}
	if ipc := r.Arm(arm.Shmipc); ipc != nil {
		got := Ratio(ipc.Samples, shm.Samples, Sample.TimePerOp).Median
		verdicts = append(verdicts, atLeast(">shmipc", got, 1))
	}
	if c := r.Arm(arm.CRing); c != nil && r.Row.Workload == cRingWorkload {
		got := Ratio(shm.Samples, c.Samples, Sample.TimePerOp).Median
		verdicts = append(verdicts, atMost(fmt.Sprintf("≤%gxC", maxOfCRing), got, maxOfCRing))
	}
	return verdicts
}

// judgeIdle returns the bounds of idle connections. All are differences from
// the unix socket's, so that what the measurement itself costs drops out.
func judgeIdle(shm, unix *ArmResult) []Verdict {
	if unix == nil || unix.Conns == 0 || shm.Conns == 0 {
		return nil
	}
	cpu := IdleCPU(shm.Samples) - IdleCPU(unix.Samples)
	verdicts := []Verdict{atMost("no CPU", cpu, maxIdleCPU)}
	per := func(mine, theirs int64) float64 {
		return float64(mine)/float64(shm.Conns) - float64(theirs)/float64(unix.Conns)
	}
	memory := max(per(shm.Client.Pss, unix.Client.Pss), per(shm.Server.Pss, unix.Server.Pss))
	// Not one more per connection; a few for all of them are nothing.
	goroutines := max(
		per(int64(shm.Client.Goroutines), int64(unix.Client.Goroutines)),
		per(int64(shm.Server.Goroutines), int64(unix.Server.Goroutines)))
	return append(verdicts,
		atMost("memory≤unix+32KiB", memory, maxIdleMemory),
		atMost("goroutines≤unix", goroutines, 0.1))
}

// JudgePackets returns the bounds of the figure of one thread. Other arms that
// were not measured have none; if the queue has failed, it has lost.
func JudgePackets(points []PacketPoint) []Verdict {
	at := make(map[string]*PacketPoint)
	for i := range points {
		if p := &points[i]; p.Size == PacketBoundSize {
			at[p.Arm] = p
		}
	}
	queue := at[packet.Sharedring]
	switch {
	case queue == nil:
		return nil
	case queue.Err != "":
		return []Verdict{{Bound: "runs"}}
	}
	var verdicts []Verdict
	for _, s := range packetSpeedups {
		if other := at[s.arm]; other != nil && other.Err == "" {
			verdicts = append(verdicts, atLeast(fmt.Sprintf("≥%gx %s", s.want, s.arm), other.Over(queue).Median, s.want))
		}
	}
	return verdicts
}

// IdleCPU returns the processor time in nanoseconds per second of an idle
// connection, in the slice that took least: what connections cost they cost in
// each, while the runtime's collector and monitor take a millisecond in some.
func IdleCPU(samples []Sample) float64 {
	least := math.Inf(1)
	for _, s := range samples {
		least = min(least, s.CPUPerOp()/s.Elapsed.Seconds())
	}
	return least
}
