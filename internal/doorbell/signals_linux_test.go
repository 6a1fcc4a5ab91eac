package doorbell

import (
	"os"
	"os/signal"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestNoSignals: the attack: a peer asks for signals to us, by O_ASYNC and
// F_SETOWN on the description that both share. A pipe in the doorbell's place
// sends them.
func TestNoSignals(t *testing.T) {
	_, fd := newBell(t)
	pipe := make([]int, 2)
	if err := unix.Pipe2(pipe, unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	got := make(chan os.Signal, 64)
	// The kernel delivers the one with the lower number first.
	signal.Notify(got, unix.SIGUSR1, unix.SIGUSR2)
	defer signal.Stop(got)
	const setSignal = 10 // F_SETSIG of fcntl(2)
	for fd, sig := range map[int]unix.Signal{fd: unix.SIGUSR1, pipe[0]: unix.SIGUSR2} {
		for _, step := range []struct{ cmd, arg int }{
			{unix.F_SETOWN, os.Getpid()},
			{setSignal, int(sig)},
			{unix.F_SETFL, unix.O_ASYNC | unix.O_NONBLOCK},
		} {
			if _, err := unix.FcntlInt(uintptr(fd), step.cmd, step.arg); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 100 {
		if err := newRinger(t, fd).Ring(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := unix.Write(pipe[1], []byte{0}); err != nil {
		t.Fatal(err)
	}
	select {
	case sig := <-got:
		if sig != unix.SIGUSR2 {
			t.Errorf("a doorbell sends signal %v", sig)
		}
	case <-time.After(patience):
		t.Fatal("a pipe sends no signal, so that this test could not see any")
	}
}
