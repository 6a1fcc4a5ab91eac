package proc

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

const soon = 20 * time.Second

func start(t *testing.T, procs int) *Process {
	t.Helper()
	p, err := Start(procs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func TestUsageGrows(t *testing.T) {
	p := start(t, 1)
	var before, after Usage
	if err := p.Call("Usage", None{}, &before, soon); err != nil {
		t.Fatal(err)
	}
	var f Footprint
	if err := p.Call("Footprint", None{}, &f, soon); err != nil {
		t.Fatal(err)
	}
	if err := p.Call("Usage", None{}, &after, soon); err != nil {
		t.Fatal(err)
	}
	if used := after.Sub(before); used.CPU <= 0 || used.Switches < 0 {
		t.Errorf("a garbage collection used %+v", used)
	}
	if f.Rss < 1<<20 || f.Pss <= 0 || f.Pss > f.Rss || f.Goroutines == 0 {
		t.Errorf("footprint %+v", f)
	}
}

func TestErrorsOfTheWorkerAndOfItsLoss(t *testing.T) {
	p := start(t, 0)
	var run Run
	if err := p.Call("Run", time.Millisecond, &run, soon); err == nil || err.Error() != "there is no client" {
		t.Errorf("Run without a client: %v", err)
	}
	for _, method := range []string{"CloseClient", "CloseServer"} {
		if err := p.Call(method, None{}, &None{}, soon); err != nil {
			t.Errorf("%s of nothing: %v", method, err)
		}
	}
	var address string
	if err := p.Call("Serve", Job{Arm: "nonsense"}, &address, soon); err == nil {
		t.Error("Serve knows nonsense")
	}
	if err := p.Call("Usage", None{}, &Usage{}, -1); err != nil && !errors.Is(err, ErrHung) {
		t.Errorf("late answer: %v, want ErrHung", err)
	}
	p.Close()
	if err := p.Call("Usage", None{}, &Usage{}, soon); err == nil || errors.Is(err, ErrHung) {
		t.Errorf("call of a dead worker: %v", err)
	}
}

func TestSpinnersSpinAndStop(t *testing.T) {
	s, err := StartSpinners()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	pid := s.cmds[0].Process.Pid
	for deadline := time.Now().Add(soon); ; {
		u, err := processCPU(pid)
		if err != nil {
			t.Fatal(err)
		}
		if u > 20*time.Millisecond {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a spinner has used %v", u)
		}
	}
	cmds := s.cmds
	s.Close()
	for _, cmd := range cmds {
		if cmd.ProcessState == nil {
			t.Error("a spinner is left over")
		}
	}
}

// processCPU returns the processor time of all threads of a process.
func processCPU(pid int) (d time.Duration, err error) {
	tasks, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		return 0, err
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			return 0, err
		}
		u, err := UsageOfPid(tid)
		if err != nil {
			return 0, err
		}
		d += u.CPU
	}
	return d, nil
}

func TestUsageOfPid(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// It may not have run yet.
	u, err := UsageOfPid(cmd.Process.Pid)
	for end := time.Now().Add(30 * time.Second); err == nil && u.CPU <= 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		u, err = UsageOfPid(cmd.Process.Pid)
	}
	if err != nil || u.CPU <= 0 {
		t.Errorf("UsageOfPid = %+v, %v", u, err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := UsageOfPid(cmd.Process.Pid); err == nil {
		t.Error("UsageOfPid knows a process that has ended")
	}
}

func TestTail(t *testing.T) {
	var b tail
	for range 2 * tailSize {
		b.Write([]byte("x"))
	}
	b.Write([]byte("the end\n"))
	if s := b.String(); len(s) > tailSize || s[len(s)-7:] != "the end" {
		t.Errorf("tail keeps %d bytes that end in %q", len(s), s[len(s)-7:])
	}
}
