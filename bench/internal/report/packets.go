package report

import (
	"slices"
	"time"

	"github.com/shmconn/shmconn/bench/internal/run"
)

// packetAxes returns the arms in the order of their first point, and the
// sizes in order.
func packetAxes(points []run.PacketPoint) (arms []string, sizes []int) {
	for _, p := range points {
		if !slices.Contains(arms, p.Arm) {
			arms = append(arms, p.Arm)
		}
		if !slices.Contains(sizes, p.Size) {
			sizes = append(sizes, p.Size)
		}
	}
	slices.Sort(sizes)
	return arms, sizes
}

// median returns nanoseconds.
func median(ds []time.Duration) float64 {
	values := make([]float64, len(ds))
	for i, d := range ds {
		values[i] = float64(d)
	}
	return run.Summarize(values).Median
}
