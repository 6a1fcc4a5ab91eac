package report

import (
	"fmt"
	"io"
	"iter"
	"strings"
	"text/tabwriter"

	"github.com/shmconn/shmconn/bench/internal/arm"
	"github.com/shmconn/shmconn/bench/internal/run"
	"github.com/shmconn/shmconn/bench/internal/work"
)

// Table writes the results for a person to read. No row is left out, least of
// all one that was lost.
func Table(w io.Writer, r *run.Results) error {
	var b strings.Builder
	header(&b, r)
	speed(&b, r)
	idle(&b, r)
	packets(&b, r)
	footer(&b, r)
	// Empty cells at the end of a line are padded like others.
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

func header(b *strings.Builder, r *run.Results) {
	fmt.Fprintf(b, "%s\n", r.Machine)
	fmt.Fprintf(b, "%s, %d rounds of %s, took %s\n", r.Started.Format("2006-01-02 15:04"), r.Rounds, r.Slice, round(r.Took))
	fmt.Fprintf(b, "command: %s\n", r.Command)
	for _, s := range r.Skipped {
		fmt.Fprintf(b, "skipped: %s\n", s)
	}
	b.WriteByte('\n')
}

// newTable returns a writer that aligns cells to the right of tabs.
func newTable(b *strings.Builder) *tabwriter.Writer {
	return tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
}

// speed writes all rows but the idle ones: a line for each arm, the bounds on
// shmconn's.
func speed(b *strings.Builder, r *run.Results) {
	t := newTable(b)
	fmt.Fprintln(t, "row\tarm\ttime/op\tspread\tGB/s\tp50\tp99\tp99.9\tCPU/op\tswitches/op\tunix/arm\t[quartiles]\tbounds")
	any := false
	for i := range r.Rows {
		row := &r.Rows[i]
		if work.Kind(row.Row.Workload) == work.KindIdle {
			continue
		}
		any = true
		for j := range row.Arms {
			speedLine(t, row, &row.Arms[j])
		}
	}
	if any {
		t.Flush()
		b.WriteByte('\n')
	}
}

func speedLine(t io.Writer, row *run.RowResult, a *run.ArmResult) {
	fmt.Fprintf(t, "%s\t%s\t", row.Name, a.Arm)
	if a.Err != "" {
		fmt.Fprintf(t, "-\t\t\t\t\t\t\t\t\t\t%s\n", join(shortError(a.Err), bounds(row, a)))
		return
	}
	per := run.Of(a.Samples, run.Sample.TimePerOp)
	throughput := "-"
	if row.Payload > 0 {
		throughput = fmt.Sprintf("%.3g", float64(row.Payload)/per.Median)
	}
	fmt.Fprintf(t, "%s\t%s\t%s\t", Duration(per.Median), percent(per.Spread()), throughput)
	for _, q := range []float64{50, 99, 99.9} {
		if a.Latency.TotalCount() == 0 {
			fmt.Fprint(t, "-\t")
			continue
		}
		fmt.Fprintf(t, "%s\t", Duration(float64(a.Latency.ValueAtQuantile(q))))
	}
	fmt.Fprintf(t, "%s\t%s\t",
		Duration(run.Of(a.Samples, run.Sample.CPUPerOp).Median),
		digits(run.Of(a.Samples, run.Sample.SwitchesPerOp).Median))
	ratio, quartiles := "-", ""
	if unix := row.Arm(arm.Unix); unix != nil && a.Arm != arm.Unix {
		s := run.Ratio(unix.Samples, a.Samples, run.Sample.TimePerOp)
		ratio = digits(s.Median) + "x"
		quartiles = fmt.Sprintf("[%s %s]", digits(s.Q1), digits(s.Q3))
	}
	fmt.Fprintf(t, "%s\t%s\t%s\n", ratio, quartiles, bounds(row, a))
}

// join writes why an arm has no numbers, and what that means for the bounds.
func join(reason, verdicts string) string {
	if verdicts == "" {
		return reason
	}
	return verdicts + ": " + reason
}

// bounds writes the verdicts on shmconn's line.
func bounds(row *run.RowResult, a *run.ArmResult) string {
	if a.Arm != arm.Shmconn {
		return ""
	}
	words := make([]string, len(row.Verdicts))
	for i, v := range row.Verdicts {
		words[i] = v.String()
	}
	return strings.Join(words, ", ")
}

// shortError keeps the table a table: the whole error is in the JSON.
func shortError(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	const longest = 70
	if r := []rune(s); len(r) > longest {
		s = string(r[:longest]) + "..."
	}
	if strings.HasPrefix(s, "skipped") {
		return s
	}
	return "failed: " + s
}

// idle writes what idle connections hold and use.
func idle(b *strings.Builder, r *run.Results) {
	t := newTable(b)
	fmt.Fprintln(t, "row\tarm\tclient Pss/conn\tRss\tgoroutines\tserver Pss/conn\tRss\tgoroutines\tCPU per conn and s\tbounds")
	any := false
	for i := range r.Rows {
		row := &r.Rows[i]
		if work.Kind(row.Row.Workload) != work.KindIdle {
			continue
		}
		any = true
		for j := range row.Arms {
			a := &row.Arms[j]
			fmt.Fprintf(t, "%s\t%s\t", row.Name, a.Arm)
			if a.Err != "" {
				fmt.Fprintf(t, "-\t\t\t\t\t\t\t%s\n", join(shortError(a.Err), bounds(row, a)))
				continue
			}
			n := float64(a.Conns)
			for _, f := range []struct{ pss, rss, goroutines float64 }{
				{float64(a.Client.Pss), float64(a.Client.Rss), float64(a.Client.Goroutines)},
				{float64(a.Server.Pss), float64(a.Server.Rss), float64(a.Server.Goroutines)},
			} {
				fmt.Fprintf(t, "%s\t%s\t%s\t", kib(f.pss/n), kib(f.rss/n), digits(f.goroutines/n))
			}
			fmt.Fprintf(t, "%s\t%s\n", Duration(run.IdleCPU(a.Samples)), bounds(row, a))
		}
	}
	if any {
		t.Flush()
		fmt.Fprint(b, "Idle rows count the memory of the processes, not the kernel's for sockets. The server's one goroutine\n"+
			"per connection is the benchmark's, which waits in Read. Reading the counters costs about 0.5 us per connection.\n\n")
	}
}

// packets writes the figure of one process and one thread.
func packets(b *strings.Builder, r *run.Results) {
	if len(r.Packets) == 0 {
		return
	}
	b.WriteString("Time per packet, written and read back by one thread of one process (nobody waits for anybody):\n")
	t := newTable(b)
	cells := make(map[string]string)
	for _, p := range r.Packets {
		cell := shortError(p.Err)
		if p.Err == "" {
			cell = Duration(median(p.PerPacket))
		}
		cells[fmt.Sprint(p.Arm, p.Size)] = cell
	}
	arms, sizes := packetAxes(r.Packets)
	fmt.Fprintf(t, "size\t%s\n", strings.Join(arms, "\t"))
	for _, size := range sizes {
		fmt.Fprintf(t, "%s", work.SizeString(size))
		for _, a := range arms {
			fmt.Fprintf(t, "\t%s", cells[fmt.Sprint(a, size)])
		}
		fmt.Fprintln(t)
	}
	t.Flush()
	if len(r.PacketVerdicts) > 0 {
		fmt.Fprintln(b, packetVerdicts(r))
	}
	b.WriteByte('\n')
}

func footer(b *strings.Builder, r *run.Results) {
	held, lost := Tally(r)
	fmt.Fprintf(b, "Bounds: %d hold, %d lost.\n", held, lost)
	for name, v := range all(r) {
		if !v.Holds {
			fmt.Fprintf(b, "  lost: %s %s\n", name, v)
		}
	}
	fmt.Fprintf(b, "One row again: go run ./bench -run '^ROW$' -rounds %d -slice %s\n", r.Rounds, r.Slice)
}

// Tally counts the bounds.
func Tally(r *run.Results) (held, lost int) {
	for _, v := range all(r) {
		if v.Holds {
			held++
		} else {
			lost++
		}
	}
	return held, lost
}

// all returns all bounds, each with the row that it belongs to.
func all(r *run.Results) iter.Seq2[string, run.Verdict] {
	return func(yield func(string, run.Verdict) bool) {
		for i := range r.Rows {
			for _, v := range r.Rows[i].Verdicts {
				if !yield(r.Rows[i].Name, v) {
					return
				}
			}
		}
		for _, v := range r.PacketVerdicts {
			if !yield(run.PacketName, v) {
				return
			}
		}
	}
}
