package proc

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/shmconn/shmconn/bench/internal/arm"
	"github.com/shmconn/shmconn/bench/internal/packet"
	"github.com/shmconn/shmconn/bench/internal/work"
)

// A Worker is what the benchmark asks of its worker processes, by net/rpc. A
// worker holds at most one server and one client at a time. Calls come one
// after the other.
type Worker struct {
	server work.Server
	client work.Client
	dialer arm.Dialer
}

// None stands for no argument or no result.
type None struct{}

// A Job names what to do a workload with.
type Job struct {
	Arm      string
	Workload string
	Env      arm.Env
	Address  string // of the server; only for Open
}

func (j Job) lookup() (arm.Arm, work.Workload, error) {
	a, err := arm.ByName(j.Arm)
	if err != nil {
		return nil, nil, err
	}
	w, err := work.ByName(j.Workload)
	return a, w, err
}

// Serve starts the server of a job and returns its address.
func (w *Worker) Serve(job Job, address *string) error {
	if w.server != nil {
		return errors.New("there is a server already")
	}
	a, load, err := job.lookup()
	if err != nil {
		return err
	}
	var ln net.Listener
	if ln, *address, err = a.Listen(job.Env); err != nil {
		return err
	}
	w.server = load.Serve(ln)
	return nil
}

// Open makes the client of a job, with its connections.
func (w *Worker) Open(job Job, _ *None) error {
	if w.client != nil {
		return errors.New("there is a client already")
	}
	a, load, err := job.lookup()
	if err != nil {
		return err
	}
	dialer, err := a.Connect(job.Env, job.Workload, job.Address)
	if err != nil {
		return err
	}
	client, err := load.Open(dialer.Dial)
	if err != nil {
		dialer.Close()
		return err
	}
	w.dialer, w.client = dialer, client
	return nil
}

// A Run is what a client has done in one slice.
type Run struct {
	Ops     int64
	Elapsed time.Duration
	Usage   Usage // of the client's process, in the slice
	Latency *hdrhistogram.Snapshot
}

// Run runs the client for one slice.
func (w *Worker) Run(d time.Duration, run *Run) error {
	if w.client == nil {
		return errors.New("there is no client")
	}
	lat := work.NewLatency()
	before, err := OwnUsage()
	if err != nil {
		return err
	}
	start := time.Now()
	run.Ops, err = w.client.Run(d, lat)
	run.Elapsed = time.Since(start)
	if err != nil {
		return err
	}
	after, err := OwnUsage()
	if err != nil {
		return err
	}
	run.Usage = after.Sub(before)
	run.Latency = lat.Hist.Export()
	return nil
}

// CloseClient closes the client, if there is one.
func (w *Worker) CloseClient(None, *None) error {
	if w.client == nil {
		return nil
	}
	err := w.client.Close()
	if dialErr := w.dialer.Close(); err == nil {
		err = dialErr
	}
	w.client, w.dialer = nil, nil
	return err
}

// CloseServer closes the server, if there is one. The error is what it has
// seen, such as a message that was not what was sent.
func (w *Worker) CloseServer(None, *None) error {
	if w.server == nil {
		return nil
	}
	err := w.server.Close()
	w.server = nil
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	return nil
}

// Usage returns what the process has used.
func (w *Worker) Usage(_ None, u *Usage) (err error) {
	*u, err = OwnUsage()
	return err
}

// Footprint returns what the process holds.
func (w *Worker) Footprint(_ None, f *Footprint) (err error) {
	*f, err = OwnFootprint()
	return err
}

// Packet measures packets written and read back by one thread.
func (w *Worker) Packet(job packet.Job, perPacket *time.Duration) (err error) {
	*perPacket, err = packet.Measure(job)
	return err
}
