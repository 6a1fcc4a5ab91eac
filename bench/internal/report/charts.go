package report

import (
	"fmt"
	"math"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/shmconn/shmconn/bench/internal/arm"
	"github.com/shmconn/shmconn/bench/internal/packet"
	"github.com/shmconn/shmconn/bench/internal/run"
	"github.com/shmconn/shmconn/bench/internal/work"
)

// Charts draws what the results have numbers for, each as SVG and PNG, into
// dir, and returns the names of the files.
func Charts(dir string, r *run.Results) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var files []string
	for _, c := range []struct {
		name   string
		draw   func(*run.Results) (*plot.Plot, error)
		height func(*run.Results) vg.Length
	}{
		{"packet-one-thread", packetChart, usualHeight},
		{"packet-two-processes", streamTimeChart, usualHeight},
		{"round-trip", roundTripChart, usualHeight},
		{"throughput", throughputChart, usualHeight},
		{"latency", latencyChart, usualHeight},
		{"speedup", speedupChart, barsHeight},
	} {
		p, err := c.draw(r)
		if err != nil {
			return files, fmt.Errorf("chart %s: %w", c.name, err)
		}
		if p == nil {
			continue
		}
		for _, format := range []string{"svg", "png"} {
			file := filepath.Join(dir, c.name+"."+format)
			if err := save(p, c.height(r), format, file); err != nil {
				return files, err
			}
			files = append(files, file)
		}
	}
	return files, nil
}

// packetChart is the figure of one process and one thread.
func packetChart(r *run.Results) (*plot.Plot, error) {
	lines := newLines()
	for _, p := range r.Packets {
		if p.Err == "" {
			lines.add(p.Arm, float64(p.Size), median(p.PerPacket))
		}
	}
	title := "Time per packet, one process and one thread"
	if len(r.PacketVerdicts) > 0 {
		title += "\n" + packetVerdicts(r)
	}
	return lines.plot(title,
		"packet size", bytesTicks{}, "time per packet", timeTicks{}, packet.Arms())
}

// streamTimeChart is the honest counterpart of packetChart: between two
// processes, each packet a Write.
func streamTimeChart(r *run.Results) (*plot.Plot, error) {
	return rowChart(r, "stream", "Time per packet, one way between two processes", "packet size", "time per packet", timeTicks{},
		func(_ int, ns float64) float64 { return ns })
}

func roundTripChart(r *run.Results) (*plot.Plot, error) {
	return rowChart(r, "pingpong", "Round trip between two processes", "message size", "round trip, median", timeTicks{},
		func(_ int, ns float64) float64 { return ns })
}

func throughputChart(r *run.Results) (*plot.Plot, error) {
	return rowChart(r, "stream", "Throughput, one way between two processes", "size of a Write", "GB/s", numberTicks{},
		func(size int, ns float64) float64 { return float64(size) / ns })
}

// rowChart draws a quantity of the rows of one kind, on a quiet machine,
// against their size.
func rowChart(r *run.Results, kind, title, x, y string, ticks plot.Ticker, quantity func(size int, nsPerOp float64) float64) (*plot.Plot, error) {
	lines := newLines()
	for _, row := range r.Rows {
		if row.Row.Condition != run.Plain || work.Kind(row.Row.Workload) != kind {
			continue
		}
		size := sizeOf(row.Row.Workload)
		for _, a := range row.Arms {
			if a.Err == "" && len(a.Samples) > 0 {
				ns := run.Of(a.Samples, run.Sample.TimePerOp).Median
				lines.add(a.Arm, float64(size), quantity(size, ns))
			}
		}
	}
	return lines.plot(title, x, bytesTicks{}, y, ticks, armOrder())
}

// sizeOf returns the message size of a ping-pong or stream workload.
func sizeOf(name string) int {
	switch w, _ := work.ByName(name); w := w.(type) {
	case work.PingPong:
		return w.Size
	case work.Stream:
		return w.Size
	}
	return 0
}

// latencyRow is whose latencies are drawn.
const latencyRow = "pingpong/64B"

// latencyChart draws duration against percentile, the axis stretched towards
// 100 % as is usual for latencies: each nine has the same room.
func latencyChart(r *run.Results) (*plot.Plot, error) {
	lines := newLines()
	for _, row := range r.Rows {
		if row.Name != latencyRow {
			continue
		}
		for _, a := range row.Arms {
			if a.Err != "" || a.Arm == arm.CRing || a.Latency == nil {
				continue
			}
			n := float64(a.Latency.TotalCount())
			// As far as there is more than one value beyond.
			for beyond := 1.0; beyond > 1/n && beyond > 1e-5; beyond /= 1.2 {
				lines.add(a.Arm, 1/beyond, float64(a.Latency.ValueAtQuantile(100*(1-beyond))))
			}
		}
	}
	return lines.plot("Round trip of 64 B between two processes", "percentile", percentileTicks{}, "round trip", timeTicks{}, armOrder())
}

// speedupChart draws shmconn's speed-up over a unix socket for each row.
func speedupChart(r *run.Results) (*plot.Plot, error) {
	var names []string
	var values []float64
	for i := range r.Rows {
		row := &r.Rows[i]
		shm, unix := row.Arm(arm.Shmconn), row.Arm(arm.Unix)
		if shm == nil || unix == nil || work.Kind(row.Row.Workload) == work.KindIdle {
			continue
		}
		names = append(names, row.Name)
		values = append(values, run.Ratio(unix.Samples, shm.Samples, run.Sample.TimePerOp).Median)
	}
	if len(values) == 0 {
		return nil, nil
	}
	p := newPlot("Unix socket's time / shmconn's time")
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, numberTicks{}
	p.X.Label.Text = "times as fast (1 = a unix socket)"
	var ticks plot.ConstantTicks
	for i, v := range values {
		y := float64(len(values) - 1 - i) // the first at the top
		bar, err := plotter.NewLine(plotter.XYs{{X: 1, Y: y}, {X: v, Y: y}})
		if err != nil {
			return nil, err
		}
		bar.Color, bar.Width = colorOf(arm.Shmconn), barWidth
		if v < 1 {
			bar.Color = colorOf(lostColor)
		}
		p.Add(bar)
		ticks = append(ticks, plot.Tick{Value: y, Label: fmt.Sprintf("%s  %sx", names[i], digits(v))})
	}
	p.Y.Tick.Marker = ticks
	p.Y.Tick.Label.Font.Size = barLabel
	p.Y.Min, p.Y.Max = -1, float64(len(values))
	p.X.Min = math.Min(p.X.Min, 0.5)
	return p, nil
}

func armOrder() []string {
	var names []string
	for _, a := range arm.All() {
		names = append(names, a.Name())
	}
	return append(names, arm.CRing)
}
