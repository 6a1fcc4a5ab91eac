package run

import (
	"math"
	"slices"
)

// A Summary is the middle of a set of numbers and its spread.
type Summary struct {
	Q1, Median, Q3 float64
}

// Summarize returns the quartiles of values, interpolated between the two
// nearest. They are NaN of no values.
func Summarize(values []float64) Summary {
	sorted := slices.Sorted(slices.Values(values))
	return Summary{quantile(sorted, 0.25), quantile(sorted, 0.5), quantile(sorted, 0.75)}
}

// quantile returns the value a fraction q into the sorted values.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	below := int(at)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (at-float64(below))*(sorted[above]-sorted[below])
}

// Spread returns the interquartile range as a fraction of the median.
func (s Summary) Spread() float64 { return (s.Q3 - s.Q1) / s.Median }

// Of summarizes a quantity of all samples.
func Of(samples []Sample, quantity func(Sample) float64) Summary {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = quantity(s)
	}
	return Summarize(values)
}

// Ratio summarizes the quotients of a quantity of a and of b in each round.
// Slices of one round lie next to each other in time, so that what the
// machine does meanwhile divides out; the quotient of two medians would keep
// it.
func Ratio(a, b []Sample, quantity func(Sample) float64) Summary {
	values := make([]float64, min(len(a), len(b)))
	for i := range values {
		values[i] = quantity(a[i]) / quantity(b[i])
	}
	return Summarize(values)
}
