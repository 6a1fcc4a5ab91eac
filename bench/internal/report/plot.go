package report

import (
	"fmt"
	"image/color"
	"math"
	"os"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/shmconn/shmconn/bench/internal/arm"
	"github.com/shmconn/shmconn/bench/internal/packet"
	"github.com/shmconn/shmconn/bench/internal/run"
	"github.com/shmconn/shmconn/bench/internal/work"
)

const (
	chartWidth  = 18 * vg.Centimeter
	chartHeight = 12 * vg.Centimeter
	lostColor   = "lost"
)

// colors are Okabe and Ito's, which the colour-blind can tell apart.
var colors = map[string]color.Color{
	arm.Shmconn:       color.RGBA{0x00, 0x72, 0xb2, 0xff},
	packet.Ring:       color.RGBA{0x00, 0x72, 0xb2, 0xff},
	packet.Sharedring: color.RGBA{0x00, 0x9e, 0x73, 0xff},
	arm.Unix:          color.RGBA{0xd5, 0x5e, 0x00, 0xff},
	"tcp":             color.RGBA{0xcc, 0x79, 0xa7, 0xff},
	arm.Shmipc:        color.RGBA{0x00, 0x9e, 0x73, 0xff},
	arm.DBus:          color.RGBA{0xe6, 0x9f, 0x00, 0xff},
	arm.Pipe:          color.RGBA{0x56, 0xb4, 0xe9, 0xff},
	arm.CRing:         color.RGBA{0x00, 0x00, 0x00, 0xff},
	lostColor:         color.RGBA{0xd5, 0x5e, 0x00, 0xff},
}

func colorOf(name string) color.Color {
	if c, ok := colors[name]; ok {
		return c
	}
	return color.Gray{0x80}
}

func newPlot(title string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = vg.Millimeter * 3
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{0xe0}, color.Gray{0xe0}
	p.Add(grid)
	return p
}

// lines collects the points of a chart by arm.
type lines map[string]plotter.XYs

func newLines() lines { return make(lines) }

func (l lines) add(name string, x, y float64) {
	if x > 0 && y > 0 && !math.IsInf(y, 0) {
		l[name] = append(l[name], plotter.XY{X: x, Y: y})
	}
}

// plot draws the lines in the given order on two logarithmic axes. It returns
// nil when there are none.
func (l lines) plot(title, x string, xTicks plot.Ticker, y string, yTicks plot.Ticker, order []string) (*plot.Plot, error) {
	if len(l) == 0 {
		return nil, nil
	}
	p := newPlot(title)
	p.X.Scale, p.X.Tick.Marker, p.X.Label.Text = plot.LogScale{}, xTicks, x
	p.Y.Scale, p.Y.Tick.Marker, p.Y.Label.Text = plot.LogScale{}, yTicks, y
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.Padding = vg.Millimeter
	for _, name := range order {
		points := l[name]
		if len(points) == 0 {
			continue
		}
		slices.SortFunc(points, func(a, b plotter.XY) int { return cmpFloat(a.X, b.X) })
		line, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width = colorOf(name), vg.Points(1.5)
		marks.Color, marks.Shape, marks.Radius = colorOf(name), draw.CircleGlyph{}, vg.Points(2)
		p.Add(line)
		if len(points) < 30 {
			p.Add(marks)
		}
		p.Legend.Add(name, line)
	}
	// A logarithmic axis needs some width, and the legend some room.
	if p.X.Min == p.X.Max {
		p.X.Min, p.X.Max = p.X.Min/2, p.X.Max*2
	}
	p.Y.Min, p.Y.Max = p.Y.Min/1.5, p.Y.Max*4
	return p, nil
}

func cmpFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Sizes of a bar chart's bars.
const (
	barHeight = vg.Centimeter / 2
	barWidth  = vg.Centimeter / 4
	barLabel  = vg.Length(9)
)

func usualHeight(*run.Results) vg.Length { return chartHeight }

// barsHeight fits a bar for each row.
func barsHeight(r *run.Results) vg.Length {
	return max(chartHeight/2, barHeight*vg.Length(len(r.Rows)+5))
}

// save draws p with a margin, which Plot.Save leaves out, on white.
func save(p *plot.Plot, height vg.Length, format, file string) error {
	c, err := draw.NewFormattedCanvas(chartWidth, height, format)
	if err != nil {
		return err
	}
	dc := draw.New(c)
	dc.SetColor(color.White)
	dc.Fill(dc.Rectangle.Path())
	const margin = vg.Centimeter / 3
	p.Draw(draw.Crop(dc, margin, -margin, margin, -margin))
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := c.WriteTo(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// bytesTicks marks every fourth power of two, labelled as sizes.
type bytesTicks struct{}

func (bytesTicks) Ticks(lo, hi float64) (ticks []plot.Tick) {
	for size := 1; float64(size) <= hi*1.01; size *= 2 {
		if float64(size) < lo*0.99 {
			continue
		}
		t := plot.Tick{Value: float64(size)}
		if exponent := math.Round(math.Log2(float64(size))); math.Mod(exponent, 3) == 0 {
			t.Label = work.SizeString(size)
		}
		ticks = append(ticks, t)
	}
	return ticks
}

// timeTicks marks powers of ten of nanoseconds.
type timeTicks struct{}

func (timeTicks) Ticks(lo, hi float64) []plot.Tick {
	return decades(lo, hi, func(v float64) string {
		switch {
		case v < 1e3:
			return fmt.Sprintf("%g ns", v)
		case v < 1e6:
			return fmt.Sprintf("%g us", v/1e3)
		case v < 1e9:
			return fmt.Sprintf("%g ms", v/1e6)
		}
		return fmt.Sprintf("%g s", v/1e9)
	})
}

// numberTicks marks powers of ten.
type numberTicks struct{}

func (numberTicks) Ticks(lo, hi float64) []plot.Tick {
	return decades(lo, hi, func(v float64) string { return fmt.Sprintf("%g", v) })
}

// percentileTicks marks nines: the axis is 1/(1-quantile).
type percentileTicks struct{}

func (percentileTicks) Ticks(lo, hi float64) []plot.Tick {
	ticks := []plot.Tick{{Value: 1, Label: "0%"}, {Value: 2, Label: "50%"}}
	for _, t := range decades(max(lo, 10), hi, func(v float64) string { return fmt.Sprintf("%.6g%%", 100*(1-1/v)) }) {
		if t.Label != "" {
			ticks = append(ticks, t)
		}
	}
	return ticks
}

// decades marks powers of ten from lo to hi with labels, and what lies
// between with small marks; where there are few powers, twice and five times
// them are labelled too.
func decades(lo, hi float64, label func(float64) string) (ticks []plot.Tick) {
	few := hi/lo < 100
	for v := math.Pow(10, math.Floor(math.Log10(lo))); v <= hi*1.01; v *= 10 {
		for m := 1.0; m < 10; m++ {
			at := v * m
			if at < lo*0.99 || at > hi*1.01 {
				continue
			}
			t := plot.Tick{Value: at}
			if m == 1 || few && (m == 2 || m == 5) {
				t.Label = label(math.Round(at*1e6) / 1e6)
			}
			ticks = append(ticks, t)
		}
	}
	return ticks
}
