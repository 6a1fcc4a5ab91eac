package run

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/shmconn/shmconn/bench/internal/proc"
)

// A Sample is one slice of one arm.
type Sample struct {
	Ops      int64
	Elapsed  time.Duration
	CPU      time.Duration // of both processes, and of a daemon between them
	Switches int64         // the same
}

// TimePerOp returns nanoseconds per operation.
func (s Sample) TimePerOp() float64 { return float64(s.Elapsed) / float64(s.Ops) }

// CPUPerOp returns nanoseconds of processor time per operation.
func (s Sample) CPUPerOp() float64 { return float64(s.CPU) / float64(s.Ops) }

// SwitchesPerOp returns context switches per operation.
func (s Sample) SwitchesPerOp() float64 { return float64(s.Switches) / float64(s.Ops) }

// An ArmResult is what one arm did in one row. Sample i of each arm belongs to
// round i.
type ArmResult struct {
	Arm string
	// Err says why there are no samples, or not all; empty otherwise.
	Err     string `json:",omitempty"`
	Samples []Sample
	// Latency holds the sampled durations of all slices.
	Latency *hdrhistogram.Histogram `json:"-"`
	// Client and Server are what the connections of an idle row have added.
	Client, Server proc.Footprint
	// Conns is the number of those connections.
	Conns int64 `json:",omitempty"`
}

// A RowResult is one row of the report.
type RowResult struct {
	Row     Row
	Name    string
	Op      string
	Payload int    // bytes per operation that count for throughput, or 0
	Command string // that measures this row again
	Arms    []ArmResult
	// Verdicts are the bounds of this row.
	Verdicts []Verdict
}

// Arm returns the result of an arm, nil when it has no samples.
func (r *RowResult) Arm(name string) *ArmResult {
	for i := range r.Arms {
		if r.Arms[i].Arm == name && r.Arms[i].Err == "" && len(r.Arms[i].Samples) > 0 {
			return &r.Arms[i]
		}
	}
	return nil
}

// A PacketPoint is one point of the figure of one process and one thread.
type PacketPoint struct {
	Arm       string
	Size      int             // bytes
	PerPacket []time.Duration // one of each round
	Err       string          `json:",omitempty"`
}

// Over summarizes the quotients of the times of p and q in each round.
func (p *PacketPoint) Over(q *PacketPoint) Summary {
	values := make([]float64, min(len(p.PerPacket), len(q.PerPacket)))
	for i := range values {
		values[i] = float64(p.PerPacket[i]) / float64(q.PerPacket[i])
	}
	return Summarize(values)
}

// Results are everything that was measured.
type Results struct {
	Machine Machine
	Started time.Time
	Took    time.Duration
	Command string
	Rounds  int
	Slice   time.Duration
	Skipped []string // arms that this machine cannot run, and why
	Rows    []RowResult
	Packets []PacketPoint
	// PacketVerdicts are the bounds of Packets.
	PacketVerdicts []Verdict
}
