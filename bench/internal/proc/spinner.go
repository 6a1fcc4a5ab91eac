package proc

import (
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
)

// Spinners are processes that keep every processor busy.
type Spinners struct {
	cmds  []*exec.Cmd
	lives []io.Closer
}

// StartSpinners starts one spinner for each processor.
func StartSpinners() (*Spinners, error) {
	s := &Spinners{}
	for range runtime.NumCPU() {
		cmd, err := command(roleSpinner)
		if err != nil {
			s.Close()
			return nil, err
		}
		live, err := cmd.StdinPipe()
		if err != nil {
			s.Close()
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			s.Close()
			return nil, err
		}
		s.cmds, s.lives = append(s.cmds, cmd), append(s.lives, live)
	}
	return s, nil
}

// Close ends the spinners.
func (s *Spinners) Close() {
	for i, cmd := range s.cmds {
		s.lives[i].Close()
		// Killed: the error of Wait is that.
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	s.cmds, s.lives = nil, nil
}

// spin keeps one processor busy until standard input ends, as it does when
// the benchmark dies.
func spin() {
	runtime.GOMAXPROCS(2) // one to spin, one to notice
	var stop atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop.Store(true)
	}()
	for !stop.Load() {
	}
}
