package run

import (
	"math"
	"testing"
	"time"
)

func TestSummarize(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Summary
	}{
		{[]float64{3}, Summary{3, 3, 3}},
		{[]float64{2, 1}, Summary{1.25, 1.5, 1.75}},
		{[]float64{5, 1, 4, 2, 3}, Summary{2, 3, 4}},
		{[]float64{1, 2, 3, 4}, Summary{1.75, 2.5, 3.25}},
	} {
		if got := Summarize(c.values); got != c.want {
			t.Errorf("Summarize(%v) = %v, want %v", c.values, got, c.want)
		}
	}
	if got := Summarize(nil); !math.IsNaN(got.Median) {
		t.Errorf("Summarize(nil) = %v, want NaN", got)
	}
	if got := (Summary{2, 4, 5}).Spread(); got != 0.75 {
		t.Errorf("Spread = %v, want 0.75", got)
	}
}

func TestSummarizeLeavesItsArgument(t *testing.T) {
	values := []float64{3, 1, 2}
	Summarize(values)
	if values[0] != 3 || values[1] != 1 || values[2] != 2 {
		t.Errorf("values are now %v", values)
	}
}

// samples returns samples of one operation each that took these nanoseconds.
func samples(ns ...time.Duration) []Sample {
	s := make([]Sample, len(ns))
	for i, d := range ns {
		s[i] = Sample{Ops: 1, Elapsed: d, CPU: d, Switches: 1}
	}
	return s
}

func TestRatioIsOfRounds(t *testing.T) {
	// The machine is ten times slower in the second round; both arms are.
	a, b := samples(10, 100, 10), samples(5, 50, 5)
	if got := Ratio(a, b, Sample.TimePerOp); got != (Summary{2, 2, 2}) {
		t.Errorf("Ratio = %v, want 2 in every round", got)
	}
	// A round that one of them lacks does not count.
	if got := Ratio(a, b[:1], Sample.TimePerOp); got != (Summary{2, 2, 2}) {
		t.Errorf("Ratio = %v, want 2", got)
	}
}

func TestSamplePerOp(t *testing.T) {
	s := Sample{Ops: 4, Elapsed: 8, CPU: 12, Switches: 2}
	if s.TimePerOp() != 2 || s.CPUPerOp() != 3 || s.SwitchesPerOp() != 0.5 {
		t.Errorf("per operation: %v %v %v", s.TimePerOp(), s.CPUPerOp(), s.SwitchesPerOp())
	}
}
