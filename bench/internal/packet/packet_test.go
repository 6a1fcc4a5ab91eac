package packet

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
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
	rng := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 4096)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	for n := 0; n <= len(b); n += 32 {
		want := uint64(0)
		for i := 0; i < n; i += 8 {
			want += binary.LittleEndian.Uint64(b[i:])
		}
		if got := sum(b[:n]); got != want {
			t.Errorf("sum of %d bytes = %#x, want %#x", n, got, want)
		}
		if got := sumWords(b[:n]); got != want {
			t.Errorf("sumWords of %d bytes = %#x, want %#x", n, got, want)
		}
	}
}
