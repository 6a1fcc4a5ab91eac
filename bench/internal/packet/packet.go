// Package packet measures the time per packet against packet size within one
// process and one thread, as the benchmark of the shmem-ipc crate does: write
// a packet, read it back, sum it, compare the sum. What does not fit goes in
// pieces. Nobody waits for anybody, so it shows the cost of the bytes and of
// the calls, and nothing of wake-ups.
package packet

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"time"

	"github.com/shmconn/shmconn/bench/internal/arm"
)

// A Job is one point of the figure.
type Job struct {
	Arm  string
	Size int // bytes, a multiple of 32
	For  time.Duration
	Bus  string // address of the D-Bus daemon
}

// Names of the arms.
const (
	Ring       = "ring"
	Sharedring = "sharedring"
)

// Arms returns the arms of the figure.
func Arms() []string { return []string{Ring, Sharedring, arm.Unix, arm.DBus} }

// Sizes returns the packet sizes of the figure: 32 B to 8 MiB, the crate's.
func Sizes() []int {
	var sizes []int
	for size := 32; size <= 8<<20; size *= 2 {
		sizes = append(sizes, size)
	}
	return sizes
}

// A carrier carries packets from a thread to itself.
type carrier interface {
	// carry moves the packet and returns the sum of what has arrived.
	carry(packet []byte) (uint64, error)
	Close() error
}

// Measure returns the mean time per packet. It stays on one thread; godbus
// has goroutines of its own.
func Measure(job Job) (time.Duration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c, err := open(job)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	p := make([]byte, job.Size)
	for i := 0; i < len(p); i += 8 {
		binary.LittleEndian.PutUint64(p[i:], uint64(i)*0x9e3779b97f4a7c15+1)
	}
	want := sum(p)
	var n int64
	var start time.Time
	// The clock is read after each batch. The first batch is not measured: it goes
	// through all of a queue's memory, which holds two packets of 2 KiB and more,
	// and has its pages made.
	for batch := int64(2); ; {
		for range batch {
			got, err := c.carry(p)
			if err != nil {
				return 0, err
			}
			if got != want {
				return 0, fmt.Errorf("packet of %d bytes: sum %#x, want %#x", job.Size, got, want)
			}
		}
		if start.IsZero() {
			start = time.Now()
			continue
		}
		n += batch
		elapsed := time.Since(start)
		if elapsed >= job.For {
			return elapsed / time.Duration(n), nil
		}
		if elapsed < job.For/8 {
			batch *= 2
		}
	}
}

func open(job Job) (carrier, error) {
	switch job.Arm {
	case Ring:
		return openRing(job.Size)
	case Sharedring:
		return openShared(job.Size)
	case arm.Unix:
		return openUnix(job.Size)
	case arm.DBus:
		return openDBus(job.Bus)
	}
	return nil, fmt.Errorf("no packet arm %q", job.Arm)
}
