package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/shmconn/shmconn/bench/internal/run"
)

// Benchfmt writes a line for each sample in the format of go test -bench, for
// benchstat:
//
//	benchstat -col /arm bench.txt
//	benchstat -filter '/arm:shmconn' old.txt new.txt
func Benchfmt(w io.Writer, r *run.Results) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "goos: %s\ngoarch: %s\npkg: github.com/shmconn/shmconn/bench\ncpu: %s\n", r.Machine.OS, r.Machine.Arch, r.Machine.CPU)
	for _, row := range r.Rows {
		for _, a := range row.Arms {
			for _, s := range a.Samples {
				fmt.Fprintf(b, "Benchmark%s/arm=%s-%d\t%d\t%.4g ns/op\t%.4g cpu-ns/op\t%.4g switches/op",
					benchName(row), a.Arm, r.Machine.CPUs, s.Ops, s.TimePerOp(), s.CPUPerOp(), s.SwitchesPerOp())
				if row.Payload > 0 {
					fmt.Fprintf(b, "\t%.4g MB/s", float64(row.Payload)/s.TimePerOp()*1e3)
				}
				b.WriteByte('\n')
			}
		}
	}
	for _, p := range r.Packets {
		for _, d := range p.PerPacket {
			fmt.Fprintf(b, "BenchmarkPacket/size=%d/arm=%s-%d\t1\t%d ns/op\n", p.Size, p.Arm, r.Machine.CPUs, d.Nanoseconds())
		}
	}
	return b.Flush()
}

// benchName writes "pingpong/64B@busy" as "Pingpong/64B/under=busy".
func benchName(row run.RowResult) string {
	name := strings.ToUpper(row.Row.Workload[:1]) + row.Row.Workload[1:]
	if row.Row.Condition != run.Plain {
		name += "/under=" + string(row.Row.Condition)
	}
	return name
}
