package packet

import (
	"errors"
	"os/exec"
	"testing"
	"time"

	"github.com/shmconn/shmconn/bench/internal/arm"
)

func TestMeasure(t *testing.T) {
	bus := ""
	daemon, err := arm.StartDaemon(t.TempDir())
	switch {
	case err == nil:
		defer daemon.Close()
		bus = daemon.Address
	case !errors.Is(err, exec.ErrNotFound):
		t.Fatal(err)
	}
	for _, name := range Arms() {
		if name == arm.DBus && bus == "" {
			t.Logf("D-Bus left out: %v", err)
			continue
		}
		for _, size := range []int{32, 4 << 10, 1 << 20} {
			d, err := Measure(Job{Arm: name, Size: size, For: time.Millisecond, Bus: bus})
			if err != nil || d <= 0 {
				t.Errorf("%s, %d bytes: %v, %v", name, size, d, err)
			}
		}
	}
	if _, err := Measure(Job{Arm: "nonsense", Size: 32}); err == nil {
		t.Error("Measure knows nonsense")
	}
}

func TestSum(t *testing.T) {
	b := make([]byte, 96)
	b[0], b[40], b[88] = 1, 2, 4 // low bytes of words 0, 5 and 11
	if got := sum(b); got != 7 {
		t.Errorf("sum = %d, want 7", got)
	}
}
