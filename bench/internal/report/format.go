// Package report writes results: as a table, as JSON, as Go benchmark lines
// and as charts.
package report

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Duration writes nanoseconds with three digits and the unit that fits.
func Duration(ns float64) string {
	switch {
	case math.IsNaN(ns):
		return "-"
	case ns < 999.5:
		return digits(ns) + " ns"
	case ns < 999.5e3:
		return digits(ns/1e3) + " us"
	case ns < 999.5e6:
		return digits(ns/1e6) + " ms"
	}
	return digits(ns/1e9) + " s"
}

// digits writes a number below 1000 with three significant digits, and larger
// ones without a fraction.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "-"
	case a < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case a < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// percent writes a fraction.
func percent(f float64) string {
	if math.IsNaN(f) {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", f*100)
}

// kib writes bytes in KiB.
func kib(bytes float64) string { return digits(bytes/1024) + " KiB" }

// round is for times a person reads.
func round(d time.Duration) time.Duration { return d.Round(time.Second / 10) }
