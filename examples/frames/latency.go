package main

import (
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"
	"time"
)

// latencies collects how late frames are.
type latencies []time.Duration

func (l *latencies) add(d time.Duration) { *l = append(*l, d) }

// percentile returns the least latency that p percent of the frames do not
// exceed. l is sorted and not empty.
func (l latencies) percentile(p float64) time.Duration {
	i := int(float64(len(l))*p/100+0.9999) - 1
	return l[min(max(i, 0), len(l)-1)]
}

// print writes percentiles and a histogram, whose bars double in latency from
// one to the next.
func (l latencies) print(out io.Writer) {
	if len(l) == 0 {
		fmt.Fprintln(out, "sink: no frames")
		return
	}
	slices.Sort(l)
	fmt.Fprintf(out, "sink: %d frames, latency", len(l))
	for _, p := range []float64{50, 90, 99, 99.9} {
		fmt.Fprintf(out, "  p%g %v", p, l.percentile(p).Round(time.Microsecond))
	}
	fmt.Fprintf(out, "  max %v\n", l[len(l)-1].Round(time.Microsecond))

	var bars [65]int
	for _, d := range l {
		bars[bits.Len64(uint64(max(d.Microseconds(), 0)))]++
	}
	first := slices.IndexFunc(bars[:], func(n int) bool { return n > 0 })
	last := len(bars) - 1
	for bars[last] == 0 {
		last--
	}
	for i := first; i <= last; i++ {
		const width = 50
		bar := strings.Repeat("#", (bars[i]*width+len(l)-1)/len(l))
		fmt.Fprintf(out, "  < %8v %7d %s\n", time.Duration(1<<i)*time.Microsecond, bars[i], bar)
	}
}
