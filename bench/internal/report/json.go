package report

import (
	"encoding/json"
	"io"
	"math"

	"github.com/shmconn/shmconn/bench/internal/arm"
	"github.com/shmconn/shmconn/bench/internal/run"
)

// armSummary is what a reader of the JSON would otherwise have to compute.
type armSummary struct {
	run.ArmResult
	NsPerOp       *run.Summary `json:",omitempty"`
	CPUNsPerOp    *run.Summary `json:",omitempty"`
	SwitchesPerOp *run.Summary `json:",omitempty"`
	// UnixOver is the unix socket's time over this arm's.
	UnixOver *run.Summary `json:",omitempty"`
	// LatencyNs holds quantiles of the sampled durations by their percentage.
	LatencyNs map[string]int64 `json:",omitempty"`
}

type rowSummary struct {
	run.RowResult
	Arms []armSummary // instead of RowResult's
}

type summary struct {
	*run.Results
	Rows []rowSummary // instead of Results'
}

var latencyQuantiles = map[string]float64{"50": 50, "90": 90, "99": 99, "99.9": 99.9, "100": 100}

// JSON writes everything that was measured, every sample included.
func JSON(w io.Writer, r *run.Results) error {
	out := summary{Results: r}
	for i := range r.Rows {
		row := &r.Rows[i]
		rs := rowSummary{RowResult: *row}
		for _, a := range row.Arms {
			rs.Arms = append(rs.Arms, summarize(row, a))
		}
		out.Rows = append(out.Rows, rs)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

func summarize(row *run.RowResult, a run.ArmResult) armSummary {
	s := armSummary{ArmResult: a}
	if len(a.Samples) == 0 {
		return s
	}
	s.NsPerOp = finite(run.Of(a.Samples, run.Sample.TimePerOp))
	s.CPUNsPerOp = finite(run.Of(a.Samples, run.Sample.CPUPerOp))
	s.SwitchesPerOp = finite(run.Of(a.Samples, run.Sample.SwitchesPerOp))
	if unix := row.Arm(arm.Unix); unix != nil {
		s.UnixOver = finite(run.Ratio(unix.Samples, a.Samples, run.Sample.TimePerOp))
	}
	if a.Latency != nil && a.Latency.TotalCount() > 0 {
		s.LatencyNs = make(map[string]int64)
		for name, q := range latencyQuantiles {
			s.LatencyNs[name] = a.Latency.ValueAtQuantile(q)
		}
	}
	return s
}

// finite returns nil where JSON has no number.
func finite(s run.Summary) *run.Summary {
	for _, v := range []float64{s.Q1, s.Median, s.Q3} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
	}
	return &s
}
