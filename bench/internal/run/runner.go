package run

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/shmconn/shmconn/bench/internal/arm"
	"github.com/shmconn/shmconn/bench/internal/packet"
	"github.com/shmconn/shmconn/bench/internal/proc"
	"github.com/shmconn/shmconn/bench/internal/work"
)

// Progress is told of each slice before it is measured.
type Progress func(what string)

// A Runner measures rows. It is used by one goroutine.
type Runner struct {
	opts     Options
	progress Progress
	env      arm.Env
	daemon   *arm.Daemon      // nil without one
	c        *cRing           // nil without one
	missing  map[string]error // arms that cannot run here
	spinners *proc.Spinners   // while the condition is Busy

	condition Condition
	pairs     map[string]*pair // of the condition, by arm
}

// NewRunner prepares to measure. What is missing on this machine is skipped
// and noted in the results.
func NewRunner(opts Options, progress Progress) (r *Runner, err error) {
	dir, err := os.MkdirTemp("", "shmconn-bench-")
	if err != nil {
		return nil, err
	}
	r = &Runner{
		opts:     opts,
		progress: progress,
		env:      arm.Env{Dir: dir},
		missing:  make(map[string]error),
		pairs:    make(map[string]*pair),
	}
	if r.daemon, err = arm.StartDaemon(dir); err == nil {
		r.env.Bus = r.daemon.Address
	} else if r.missing[arm.DBus] = err; !errors.Is(err, exec.ErrNotFound) {
		r.Close()
		return nil, err
	}
	if r.c, err = buildCRing(dir); err != nil {
		r.missing[arm.CRing] = err
	}
	return r, nil
}

// Close ends all processes and removes all files.
func (r *Runner) Close() {
	r.enter(Plain)
	if r.daemon != nil {
		// It has ended by itself; that is what was wanted.
		_ = r.daemon.Close()
	}
	_ = os.RemoveAll(r.env.Dir)
}

// Skipped returns a line for each arm that cannot run here.
func (r *Runner) Skipped() []string {
	var lines []string
	for _, name := range allArms() {
		if err := r.missing[name]; err != nil {
			lines = append(lines, fmt.Sprintf("%s: %v", name, err))
		}
	}
	return lines
}

// Rows measures all rows that are asked for and gives each to done.
func (r *Runner) Rows(done func(RowResult)) error {
	for _, row := range r.opts.rows() {
		if row.Condition != r.condition {
			if err := r.enter(row.Condition); err != nil {
				return err
			}
		}
		result, err := r.row(row)
		if err != nil {
			return err
		}
		done(result)
	}
	return r.enter(Plain)
}

// enter ends what belongs to the condition before and sets up the next one.
func (r *Runner) enter(c Condition) (err error) {
	for name, p := range r.pairs {
		p.kill()
		delete(r.pairs, name)
	}
	if r.spinners != nil {
		r.spinners.Close()
		r.spinners = nil
	}
	r.condition = c
	if c == Busy {
		r.spinners, err = proc.StartSpinners()
	}
	return err
}

// contender is an arm in a row.
type contender struct {
	side   side
	result *ArmResult
}

// row measures one row: every arm once to warm up, then round after round.
// An arm that fails is out, and its result says why.
func (r *Runner) row(row Row) (RowResult, error) {
	load, err := work.ByName(row.Workload)
	if err != nil {
		return RowResult{}, err
	}
	result := RowResult{
		Row:     row,
		Name:    row.Name(),
		Op:      load.Op(),
		Payload: load.Payload(),
		Command: r.opts.command(row),
	}
	names := r.opts.arms(row)
	result.Arms = make([]ArmResult, len(names))
	contenders := make([]contender, len(names))
	for i, name := range names {
		a := &result.Arms[i]
		a.Arm, a.Latency = name, work.NewLatency().Hist
		contenders[i].result = a
		s, err := r.open(name, row, a)
		if err != nil {
			a.Err = err.Error()
			r.drop(name)
			continue
		}
		contenders[i].side = s
	}
	rounds, slice := r.opts.budget(row)
	for round := -1; round < rounds; round++ {
		for i := range contenders {
			c := &contenders[i]
			r.progress(row.Name() + " " + c.result.Arm)
			if c.side == nil {
				continue
			}
			if err := r.measure(c, slice, round < 0); err != nil {
				c.result.Err = err.Error()
				c.side = nil
				r.drop(c.result.Arm)
			}
		}
	}
	for _, c := range contenders {
		if c.side == nil {
			continue
		}
		if err := c.side.close(); err != nil {
			c.result.Err = err.Error()
			r.drop(c.result.Arm)
		}
		if work.Kind(row.Workload) == work.KindIdle {
			r.drop(c.result.Arm)
		}
	}
	result.Verdicts = judge(&result)
	return result, nil
}

// measure does one slice of a contender.
func (r *Runner) measure(c *contender, d time.Duration, warmup bool) error {
	lat := c.result.Latency
	if warmup {
		lat = work.NewLatency().Hist
	}
	s, err := c.side.slice(d, lat)
	if err != nil {
		return err
	}
	if s.Ops == 0 {
		return errors.New("no operation was completed")
	}
	if !warmup {
		c.result.Samples = append(c.result.Samples, s)
	}
	return nil
}

// open makes the side of an arm in a row.
func (r *Runner) open(name string, row Row, result *ArmResult) (side, error) {
	if err := r.missing[name]; err != nil {
		return nil, fmt.Errorf("skipped: %w", err)
	}
	if name == arm.CRing {
		return r.c.in(row), nil
	}
	idle := work.Kind(row.Workload) == work.KindIdle
	if idle {
		// What earlier rows have left behind is not to be counted, and not
		// to be used again either.
		r.drop(name)
	}
	p := r.pairs[name]
	if p == nil {
		var err error
		if p, err = startPair(name, row.Condition, r.daemon); err != nil {
			return nil, err
		}
		r.pairs[name] = p
	}
	job := proc.Job{Arm: name, Workload: row.Workload, Env: r.env}
	if !idle {
		return p, p.open(job)
	}
	return p, openIdle(p, job, result)
}

// openIdle opens idle connections and notes what they have added.
func openIdle(p *pair, job proc.Job, result *ArmResult) error {
	client, server, err := p.footprints()
	if err != nil {
		return err
	}
	if err := p.open(job); err != nil {
		return err
	}
	if result.Client, result.Server, err = p.footprints(); err != nil {
		return err
	}
	result.Client = result.Client.Sub(client)
	result.Server = result.Server.Sub(server)
	// The operations of a slice are the connections.
	s, err := p.slice(time.Millisecond, work.NewLatency().Hist)
	result.Conns = s.Ops
	return err
}

// drop ends the processes of an arm; the next row starts new ones.
func (r *Runner) drop(name string) {
	if p := r.pairs[name]; p != nil {
		p.kill()
		delete(r.pairs, name)
	}
}

// packetSlice is how long one point of the packet figure is measured, in
// each of packetRounds rounds.
const (
	packetSlice  = 20 * time.Millisecond
	packetRounds = 3
)

// Packets measures the figure of one process and one thread at the given
// sizes.
func (r *Runner) Packets(sizes []int) ([]PacketPoint, error) {
	worker, err := proc.Start(0)
	if err != nil {
		return nil, err
	}
	defer worker.Close()
	var points []PacketPoint
	for _, size := range sizes {
		first := len(points)
		for _, name := range packet.Arms() {
			if name != packet.Ring && r.missing[name] != nil {
				continue
			}
			points = append(points, PacketPoint{Arm: name, Size: size})
		}
		for range packetRounds {
			for i := first; i < len(points); i++ {
				p := &points[i]
				if p.Err != "" {
					continue
				}
				var d time.Duration
				job := packet.Job{Arm: p.Arm, Size: size, For: packetSlice, Bus: r.env.Bus}
				if err := worker.Call("Packet", job, &d, setupTimeout); err != nil {
					p.Err = err.Error()
					continue
				}
				p.PerPacket = append(p.PerPacket, d)
			}
		}
	}
	return points, nil
}
