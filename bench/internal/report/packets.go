package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shmconn/shmconn/bench/internal/packet"
	"github.com/shmconn/shmconn/bench/internal/run"
	"github.com/shmconn/shmconn/bench/internal/work"
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

// packetVerdicts writes the bounds with what was measured, for the table and
// for the chart.
func packetVerdicts(r *run.Results) string {
	var words []string
	for _, v := range r.PacketVerdicts {
		word := v.String()
		if v.Holds {
			word += fmt.Sprintf(" (%.3g)", v.Got)
		}
		words = append(words, word)
	}
	return fmt.Sprintf("%s at %s: %s", packet.Sharedring, work.SizeString(run.PacketBoundSize), strings.Join(words, ", "))
}
