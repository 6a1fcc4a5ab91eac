package peer

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// Find returns the path of a program that is in PATH or matches one of the patterns, the last match
// if there are several. Without it the test is skipped, with the Debian package to install.
func Find(t testing.TB, name, debian string, patterns ...string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, pattern := range patterns {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			return found[len(found)-1]
		}
	}
	t.Skipf("no %s here: apt-get install --no-install-recommends %s", name, debian)
	return ""
}

// Run starts a program. At the end of the test it gets the signal stop and has to end without an
// error; it does not outlive this process either.
func Run(t testing.TB, stop syscall.Signal, cmd *exec.Cmd) {
	t.Helper()
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // whose end is what Pdeathsig is about
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		t.Helper()
		cmd.Process.Signal(stop)
		kill := time.AfterFunc(Patience, func() { cmd.Process.Kill() })
		defer kill.Stop()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", cmd.Path, err)
		}
	})
}
