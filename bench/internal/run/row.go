// Package run measures: it turns workloads and arms into rows, interleaves
// their slices, and judges the results against the bounds.
package run

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/shmconn/shmconn/bench/internal/arm"
	"github.com/shmconn/shmconn/bench/internal/work"
)

// A Condition is what a row is measured under.
type Condition string

const (
	// Plain is a machine that does nothing else.
	Plain Condition = ""
	// Busy is a machine whose every processor another process keeps busy.
	Busy Condition = "busy"
	// OneProc is GOMAXPROCS=1 in both processes.
	OneProc Condition = "procs1"
)

// A Row is one line of the report: a workload under a condition.
type Row struct {
	Workload  string
	Condition Condition
}

// Name is the workload's name and, after an @, the condition.
func (r Row) Name() string {
	if r.Condition == Plain {
		return r.Workload
	}
	return r.Workload + "@" + string(r.Condition)
}

// Rows returns every row in the order of the report: all workloads on a quiet
// machine, then those that have a bound on the speed under each of the other
// conditions.
func Rows() []Row {
	var rows []Row
	for _, w := range work.All() {
		rows = append(rows, Row{w.Name(), Plain})
	}
	for _, c := range []Condition{Busy, OneProc} {
		for _, w := range work.All() {
			if _, ok := speedups[w.Name()]; ok {
				rows = append(rows, Row{w.Name(), c})
			}
		}
	}
	return rows
}

// Options say what is measured and for how long.
type Options struct {
	Run    *regexp.Regexp // rows by name; nil for all
	Arm    *regexp.Regexp // arms by name; nil for all
	Rounds int            // slices of each arm in each row, not counting the warm-up
	Slice  time.Duration  // length of a slice
}

// rows returns the rows that are asked for.
func (o Options) rows() []Row {
	var rows []Row
	for _, r := range Rows() {
		if o.Run == nil || o.Run.MatchString(r.Name()) {
			rows = append(rows, r)
		}
	}
	return rows
}

// arms returns the names of the arms of a row. On a quiet machine that is all
// of them. Under the other conditions it is the pair that the bounds are
// about, unless others are asked for by name.
func (o Options) arms(r Row) []string {
	var names []string
	for _, a := range allArms() {
		asked := o.Arm != nil && o.Arm.MatchString(a)
		pair := a == arm.Shmconn || a == arm.Unix
		switch {
		case o.Arm != nil && !asked:
		case o.Arm == nil && r.Condition != Plain && !pair:
		case !has(a, r):
		default:
			names = append(names, a)
		}
	}
	return names
}

// allArms returns the names of all arms, those that are no arm.Arm included.
func allArms() []string {
	var names []string
	for _, a := range arm.All() {
		names = append(names, a.Name())
	}
	return append(names, arm.CRing)
}

// has reports whether an arm has anything to do in a row.
func has(name string, r Row) bool {
	if name == arm.CRing {
		return cRingArgs(r) != nil
	}
	a, err := arm.ByName(name)
	return err == nil && a.Does(r.Workload) == nil
}

// List returns a line for each row that is asked for, with its arms.
func (o Options) List() []string {
	var lines []string
	for _, r := range o.rows() {
		lines = append(lines, fmt.Sprintf("%-28s %s", r.Name(), strings.Join(o.arms(r), " ")))
	}
	return lines
}

// Plan returns how many slices there will be and about how long they take.
func (o Options) Plan() (slices int, d time.Duration) {
	for _, r := range o.rows() {
		rounds, slice := o.budget(r)
		n := (rounds + 1) * len(o.arms(r)) // and one to warm up
		slices += n
		d += time.Duration(n) * (slice + sliceExtra)
	}
	if o.PacketFigure() {
		d += packetExtra
	}
	return slices, d
}

// What a slice takes beside itself, the setting up of rows included, and what
// the packet figure takes.
const (
	sliceExtra  = 15 * time.Millisecond
	packetExtra = 15 * time.Second
)

// PacketName is the name that Options.Run knows the packet figure by.
const PacketName = "packet"

// PacketFigure reports whether the packet figure is asked for.
func (o Options) PacketFigure() bool { return o.Run == nil || o.Run.MatchString(PacketName) }

// minIdle is the shortest slice in which the processor time of idle
// connections can be told from that of asking for it. Each of the two processes
// that are asked may have its runtime's monitor look around 50 times, every 20 us
// (sysmon in runtime/proc.go), which takes 0.6 ms.
const minIdle = 1500 * time.Millisecond

// budget returns the number and the length of a row's slices.
func (o Options) budget(r Row) (rounds int, slice time.Duration) {
	if work.Kind(r.Workload) == work.KindIdle {
		return min(o.Rounds, 3), max(o.Slice, minIdle)
	}
	return o.Rounds, o.Slice
}
