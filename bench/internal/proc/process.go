// Package proc runs the benchmark's worker processes: the program executed
// again, with net/rpc over a pair of pipes.
package proc

import (
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// roleVariable tells an executed program what it is.
const roleVariable = "SHMCONN_BENCH_ROLE"

const (
	roleWorker  = "worker"
	roleSpinner = "spinner"
)

// Descriptors of a worker: the pipes of its calls.
const (
	callsFD   = 3
	answersFD = 4
)

// Main does what a worker or a spinner does and then exits, if this process
// is one. A program that starts workers calls it first in main, and a test in
// TestMain.
func Main() {
	switch os.Getenv(roleVariable) {
	case roleWorker:
		serveWorker()
	case roleSpinner:
		spin()
	default:
		return
	}
	os.Exit(0)
}

// pipes is a connection made of two pipes.
type pipes struct {
	io.ReadCloser
	w io.WriteCloser
}

func (p pipes) Write(b []byte) (int, error) { return p.w.Write(b) }

func (p pipes) Close() error {
	err := p.ReadCloser.Close()
	if writeErr := p.w.Close(); err == nil {
		err = writeErr
	}
	return err
}

// serveWorker answers until the benchmark closes the pipe, or dies.
func serveWorker() {
	server := rpc.NewServer()
	if err := server.Register(&Worker{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	server.ServeConn(pipes{os.NewFile(callsFD, "calls"), os.NewFile(answersFD, "answers")})
}

// A Process is a running worker. It is used by one goroutine at a time.
type Process struct {
	cmd    *exec.Cmd
	calls  *rpc.Client
	output *tail
}

// ErrHung reports that a worker has not answered in time. It is of no further
// use.
var ErrHung = errors.New("no answer in time")

// Start starts a worker. Procs is its GOMAXPROCS, 0 for what it finds.
func Start(procs int) (*Process, error) {
	callsR, callsW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer callsR.Close()
	answersR, answersW, err := os.Pipe()
	if err != nil {
		callsW.Close()
		return nil, err
	}
	defer answersW.Close()
	p := &Process{output: &tail{}}
	p.cmd, err = command(roleWorker)
	if err == nil {
		if procs > 0 {
			p.cmd.Env = append(p.cmd.Env, "GOMAXPROCS="+strconv.Itoa(procs))
		}
		p.cmd.ExtraFiles = []*os.File{callsR, answersW} // descriptors 3 and 4
		p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
		err = p.cmd.Start()
	}
	if err != nil {
		callsW.Close()
		answersR.Close()
		return nil, err
	}
	p.calls = rpc.NewClient(pipes{answersR, callsW})
	return p, nil
}

// command returns this program in another role.
func command(role string) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return cmd, nil
}

// Call calls a method of the worker. The error is ErrHung after timeout; when
// the worker has died it holds the last that the worker said.
func (p *Process) Call(method string, args, reply any, timeout time.Duration) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	call := p.calls.Go("Worker."+method, args, reply, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
	case <-timer.C:
		return fmt.Errorf("%s: %w", method, ErrHung)
	}
	if _, ok := call.Error.(rpc.ServerError); call.Error != nil && !ok {
		return fmt.Errorf("%s: worker died: %w: %s", method, call.Error, p.output)
	}
	return call.Error
}

// Close ends the worker, whatever it is doing.
func (p *Process) Close() {
	p.calls.Close()
	// A hung worker does not see the end of its calls. Killed or finished:
	// neither error says more than that.
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if extra := len(t.buf) - tailSize; extra > 0 {
		t.buf = t.buf[extra:]
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.buf))
}
