package work

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Range and precision of a latency histogram: nanoseconds, two digits.
const (
	latencyMax    = int64(100 * time.Second)
	latencyDigits = 2
)

// Reading the clock twice costs about 0.1 us, a good part of the shortest
// operations. An operation is timed after every clockPeriod of work, or each
// one where it takes longer, up to maxStride operations in between. The stride
// follows the mean of the slice so far, never the operation at hand, so that
// which operations are timed does not depend on how long they take.
const (
	clockPeriod = 10 * time.Microsecond
	maxStride   = 512
)

// A Latency collects the durations of a sample of operations. It is used by
// one goroutine at a time.
type Latency struct {
	Hist *hdrhistogram.Histogram
}

// NewLatency returns an empty Latency.
func NewLatency() *Latency {
	return &Latency{hdrhistogram.New(1, latencyMax, latencyDigits)}
}

// Record adds one duration.
func (l *Latency) Record(d time.Duration) {
	// A duration out of range is recorded as the end of the range.
	_ = l.Hist.RecordValue(min(max(int64(d), 1), latencyMax))
}

// Merge adds what another has collected.
func (l *Latency) Merge(other *Latency) { l.Hist.Merge(other.Hist) }

// repeat does op again and again until d has passed, and returns how often.
// It stops at the first error.
func repeat(d time.Duration, lat *Latency, op func() error) (n int64, err error) {
	start := time.Now()
	for {
		before := time.Now()
		if err := op(); err != nil {
			return n, err
		}
		n++
		after := time.Now()
		lat.Record(after.Sub(before))
		elapsed := after.Sub(start)
		if elapsed >= d {
			return n, nil
		}
		mean := max(elapsed/time.Duration(n), 1)
		for range min(clockPeriod/mean, maxStride) {
			if err := op(); err != nil {
				return n, err
			}
			n++
		}
	}
}

// repeatAll runs repeat in one goroutine for each op and merges what they
// found.
func repeatAll(d time.Duration, lat *Latency, ops []func() error) (int64, error) {
	if len(ops) == 1 {
		return repeat(d, lat, ops[0])
	}
	type result struct {
		n   int64
		err error
		lat *Latency
	}
	results := make(chan result)
	for _, op := range ops {
		go func() {
			r := result{lat: NewLatency()}
			r.n, r.err = repeat(d, r.lat, op)
			results <- r
		}()
	}
	var n int64
	var first error
	for range ops {
		r := <-results
		n += r.n
		lat.Merge(r.lat)
		if first == nil {
			first = r.err
		}
	}
	return n, first
}
