//go:build linux

// Command bench measures the same work over shmconn, unix sockets and what
// else connects two processes, interleaved, and prints a table that says
// which of the project's bounds on speed hold. From the root of the
// repository:
//
//	go run ./bench                                  # everything; some minutes
//	go run ./bench -list                            # what there is
//	go run ./bench -run 'pingpong/64B' -rounds 15   # one row, longer
//	go run ./bench -run @busy -arm 'shmconn|unix'   # one condition
//	go run ./bench -charts docs/charts -json out.json -benchfmt out.txt
//	go run ./bench -check                           # exit 1 when a bound is lost
//
// # Method
//
// Client and server are processes of their own, a pair for each arm: this
// program executed again. In each row every arm has its connections open and
// runs for one slice to warm up; then each runs for a slice in turn, round
// after round (A B A B), so that what the machine does meanwhile falls on all
// alike. Times are medians over the rounds; a speed-up is the median over the
// rounds of the quotient within a round. Processor time is user and system of
// both processes by getrusage(2), with that of dbus-daemon where it takes
// part, and so are context switches.
//
// A row is a workload, and the condition after an @: "busy" with every
// processor kept busy by another process, "procs1" with GOMAXPROCS=1 in both
// processes.
//
// # Verification
//
// Every message carries stamps, made of its number and of their offset, at
// its start, at each 4 KiB and at its end; the receiver checks all of them,
// and on one message in 64 every byte between. Streams end each slice with
// the server's count of verified messages. A row with a wrong byte has failed
// and says so.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/shmconn/shmconn/bench/internal/packet"
	"github.com/shmconn/shmconn/bench/internal/proc"
	"github.com/shmconn/shmconn/bench/internal/report"
	"github.com/shmconn/shmconn/bench/internal/run"
)

func main() {
	proc.Main()
	err := bench(os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// errLost makes -check fail.
var errLost = errors.New("bounds are lost")

// config is what the flags say.
type config struct {
	run.Options
	list     bool
	check    bool
	json     string
	benchfmt string
	charts   string
}

func parse(args []string, stderr io.Writer) (config, error) {
	var c config
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	rows := flags.String("run", "", "measure rows whose name matches this `regexp` (\""+run.PacketName+"\" is the figure of one thread)")
	arms := flags.String("arm", "", "measure arms whose name matches this `regexp`")
	flags.IntVar(&c.Rounds, "rounds", 7, "slices of each arm in each row")
	flags.DurationVar(&c.Slice, "slice", 100*time.Millisecond, "length of a slice")
	flags.BoolVar(&c.list, "list", false, "list rows and their arms, and how long they take")
	flags.BoolVar(&c.check, "check", false, "exit 1 when a bound is lost")
	flags.StringVar(&c.json, "json", "", "write everything measured to this `file` (- for standard output, instead of the table)")
	flags.StringVar(&c.benchfmt, "benchfmt", "", "write lines for benchstat to this `file` (- for standard output, instead of the table)")
	flags.StringVar(&c.charts, "charts", "", "draw charts as SVG and PNG into this `directory`")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if flags.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if c.Rounds < 1 || c.Slice <= 0 {
		return c, errors.New("-rounds and -slice must be positive")
	}
	for _, f := range []struct {
		text string
		re   **regexp.Regexp
	}{{*rows, &c.Run}, {*arms, &c.Arm}} {
		if f.text == "" {
			continue
		}
		re, err := regexp.Compile(f.text)
		if err != nil {
			return c, err
		}
		*f.re = re
	}
	return c, nil
}

func bench(args []string, stdout, stderr io.Writer) error {
	c, err := parse(args, stderr)
	if err != nil {
		return err
	}
	slices, estimate := c.Plan()
	if c.list {
		return list(stdout, c, estimate)
	}
	if slices == 0 && !c.PacketFigure() {
		return errors.New("nothing matches; see -list")
	}
	results, err := measure(c, args, newProgress(stderr, slices, estimate))
	if err != nil {
		return err
	}
	if err := write(c, results, stdout, stderr); err != nil {
		return err
	}
	if _, lost := report.Tally(results); c.check && lost > 0 {
		return fmt.Errorf("%d %w", lost, errLost)
	}
	return nil
}

func list(w io.Writer, c config, estimate time.Duration) error {
	for _, line := range c.List() {
		fmt.Fprintln(w, line)
	}
	if c.PacketFigure() {
		fmt.Fprintln(w, run.PacketName)
	}
	_, err := fmt.Fprintf(w, "about %s\n", estimate.Round(time.Second))
	return err
}

// measure does all that is asked for.
func measure(c config, args []string, p *progress) (*run.Results, error) {
	defer p.done()
	r, err := run.NewRunner(c.Options, p.step)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	results := &run.Results{
		Machine: run.ThisMachine(),
		Started: time.Now(),
		Command: commandLine(args),
		Rounds:  c.Rounds,
		Slice:   c.Slice,
		Skipped: r.Skipped(),
	}
	if err := r.Rows(func(row run.RowResult) { results.Rows = append(results.Rows, row) }); err != nil {
		return nil, err
	}
	if c.PacketFigure() {
		p.step(run.PacketName)
		if results.Packets, err = r.Packets(packet.Sizes()); err != nil {
			return nil, err
		}
		results.PacketVerdicts = run.JudgePackets(results.Packets)
	}
	results.Took = time.Since(results.Started)
	return results, nil
}

// write writes the table, unless something else goes to standard output, and
// the files.
func write(c config, r *run.Results, stdout, stderr io.Writer) error {
	if c.json != "-" && c.benchfmt != "-" {
		if err := report.Table(stdout, r); err != nil {
			return err
		}
	}
	if err := writeFile(c.json, stdout, r, report.JSON); err != nil {
		return err
	}
	if err := writeFile(c.benchfmt, stdout, r, report.Benchfmt); err != nil {
		return err
	}
	if c.charts == "" {
		return nil
	}
	files, err := report.Charts(c.charts, r)
	for _, f := range files {
		fmt.Fprintln(stderr, "wrote", f)
	}
	return err
}

func writeFile(name string, stdout io.Writer, r *run.Results, format func(io.Writer, *run.Results) error) error {
	switch name {
	case "":
		return nil
	case "-":
		return format(stdout, r)
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := format(f, r); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// commandLine writes the command as a shell would take it again.
func commandLine(args []string) string {
	words := []string{"go run ./bench"}
	for _, a := range args {
		if strings.ContainsAny(a, " |^$*?()[]\\@'\"") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}
