package main

import (
	"fmt"
	"math"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// plot draws the latency at each percentile into file, whose extension says in
// what format: svg, png, pdf. The axis of percentiles is 1/(1-p), logarithmic,
// so that each further nine has as much room as the one before. l is sorted and
// not empty.
func (l latencies) plot(file string) error {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("Latency of %d frames", len(l))
	p.X.Label.Text = "frames that are not later"
	p.Y.Label.Text = "latency"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker = plot.TickerFunc(percentileTicks)
	p.Y.Tick.Marker = plot.TickerFunc(latencyTicks)
	p.Add(plotter.NewGrid())
	line, err := plotter.NewLine(l.curve())
	if err != nil {
		return err
	}
	line.StepStyle = plotter.PreStep
	p.Add(line)
	// Logarithmic axes need some width, also where all frames are alike.
	p.X.Min, p.X.Max = 1, max(p.X.Max, 10)
	p.Y.Min, p.Y.Max = p.Y.Min/1.5, p.Y.Max*1.5
	return p.Save(18*vg.Centimeter, 11*vg.Centimeter, file)
}

// curve returns the points of the plot, the last of which is the maximum.
func (l latencies) curve() plotter.XYs {
	points := make(plotter.XYs, len(l))
	for i, d := range l {
		// Of n frames, n-i-1 are later than this one.
		points[i].X = float64(len(l)) / float64(max(len(l)-i-1, 1))
		points[i].Y = max(d.Seconds(), 1e-9)
	}
	return points
}

func percentileTicks(lo, hi float64) []plot.Tick {
	ticks := []plot.Tick{{Value: 1, Label: "0%"}, {Value: 2, Label: "50%"}}
	for v := 10.0; v <= hi*1.01; v *= 10 {
		ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%.6g%%", 100-100/v)})
	}
	return ticks
}

// latencyTicks marks 1, 2 and 5 times the powers of ten.
func latencyTicks(lo, hi float64) (ticks []plot.Tick) {
	for v := math.Pow(10, math.Floor(math.Log10(lo))); v <= hi; v *= 10 {
		for _, m := range []float64{1, 2, 5} {
			if at := v * m; at >= lo && at <= hi {
				ticks = append(ticks, plot.Tick{Value: at, Label: time.Duration(math.Round(at * 1e9)).String()})
			}
		}
	}
	return ticks
}
