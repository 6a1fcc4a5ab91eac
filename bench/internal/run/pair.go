package run

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/shmconn/shmconn/bench/internal/arm"
	"github.com/shmconn/shmconn/bench/internal/proc"
)

// How long a worker may take beyond the work itself before it counts as hung.
const (
	setupTimeout = 30 * time.Second
	extraTimeout = time.Minute
)

// A side measures one arm of one row, slice by slice.
type side interface {
	// slice measures for about d and adds latencies to lat.
	slice(d time.Duration, lat *hdrhistogram.Histogram) (Sample, error)
	// close ends the row. The error is a verification that has failed.
	close() error
}

// A pair is the two processes of an arm. It serves one row after the other.
type pair struct {
	client, server *proc.Process
	both           bool // server is client
	daemon         *arm.Daemon
}

func startPair(name string, condition Condition, daemon *arm.Daemon) (*pair, error) {
	procs := 0
	if condition == OneProc {
		procs = 1
	}
	p := &pair{}
	var err error
	if p.client, err = proc.Start(procs); err != nil {
		return nil, err
	}
	if arm.InProcess(name) {
		p.both, p.server = true, p.client
		return p, nil
	}
	if p.server, err = proc.Start(procs); err != nil {
		p.client.Close()
		return nil, err
	}
	if name == arm.DBus {
		p.daemon = daemon
	}
	return p, nil
}

// kill ends the processes.
func (p *pair) kill() {
	p.client.Close()
	if !p.both {
		p.server.Close()
	}
}

// open begins a row.
func (p *pair) open(job proc.Job) error {
	if err := p.server.Call("Serve", job, &job.Address, setupTimeout); err != nil {
		return err
	}
	return p.client.Call("Open", job, &proc.None{}, setupTimeout)
}

// footprints returns what both processes hold.
func (p *pair) footprints() (client, server proc.Footprint, err error) {
	if err = p.client.Call("Footprint", proc.None{}, &client, setupTimeout); err != nil {
		return
	}
	err = p.server.Call("Footprint", proc.None{}, &server, setupTimeout)
	return
}

// outside returns the usage of whatever takes part beside the client.
func (p *pair) outside() (u proc.Usage, err error) {
	if !p.both {
		if err = p.server.Call("Usage", proc.None{}, &u, setupTimeout); err != nil {
			return u, err
		}
	}
	if p.daemon != nil {
		d, err := proc.UsageOfPid(p.daemon.Pid())
		if err != nil {
			return u, fmt.Errorf("usage of dbus-daemon: %w", err)
		}
		u = u.Add(d)
	}
	return u, nil
}

func (p *pair) slice(d time.Duration, lat *hdrhistogram.Histogram) (Sample, error) {
	before, err := p.outside()
	if err != nil {
		return Sample{}, err
	}
	var r proc.Run
	if err := p.client.Call("Run", d, &r, d+extraTimeout); err != nil {
		// The server may know better why.
		if cause := p.server.Call("CloseServer", proc.None{}, &proc.None{}, time.Second); cause != nil {
			err = fmt.Errorf("%w; %w", cause, err)
		}
		return Sample{}, err
	}
	after, err := p.outside()
	if err != nil {
		return Sample{}, err
	}
	lat.Merge(hdrhistogram.Import(r.Latency))
	used := after.Sub(before).Add(r.Usage)
	return Sample{Ops: r.Ops, Elapsed: r.Elapsed, CPU: used.CPU, Switches: used.Switches}, nil
}

func (p *pair) close() error {
	err := p.client.Call("CloseClient", proc.None{}, &proc.None{}, setupTimeout)
	if serverErr := p.server.Call("CloseServer", proc.None{}, &proc.None{}, setupTimeout); serverErr != nil {
		return serverErr
	}
	return err
}
