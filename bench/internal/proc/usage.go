package proc

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Usage is what a process has used since it started.
type Usage struct {
	CPU      time.Duration // user and system
	Switches int64         // context switches, voluntary and not
}

// Sub returns what was used since old.
func (u Usage) Sub(old Usage) Usage {
	return Usage{u.CPU - old.CPU, u.Switches - old.Switches}
}

// Add returns the sum.
func (u Usage) Add(v Usage) Usage {
	return Usage{u.CPU + v.CPU, u.Switches + v.Switches}
}

// OwnUsage returns the usage of this process, as getrusage(2) says.
func OwnUsage() (Usage, error) {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return Usage{}, os.NewSyscallError("getrusage", err)
	}
	return UsageOf(&ru), nil
}

// UsageOf converts what the kernel says.
func UsageOf(ru *syscall.Rusage) Usage {
	return Usage{
		CPU:      time.Duration(ru.Utime.Nano() + ru.Stime.Nano()),
		Switches: int64(ru.Nvcsw + ru.Nivcsw),
	}
}

// UsageOfPid returns the usage of another process that has one thread:
// schedstat counts nanoseconds, where /proc/PID/stat counts clock ticks.
func UsageOfPid(pid int) (Usage, error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	stat, err := os.ReadFile(dir + "schedstat")
	if err != nil {
		return Usage{}, err
	}
	var u Usage
	if _, err := fmt.Sscan(string(stat), &u.CPU); err != nil {
		return Usage{}, fmt.Errorf("%sschedstat: %w", dir, err)
	}
	fields, err := colonFields(dir + "status")
	u.Switches = fields["voluntary_ctxt_switches"] + fields["nonvoluntary_ctxt_switches"]
	return u, err
}

// A Footprint is the memory and the goroutines of a process.
type Footprint struct {
	Rss        int64 // bytes of resident memory
	Pss        int64 // the same, shared pages divided among those who map them
	Goroutines int
}

// Sub returns the growth since old.
func (f Footprint) Sub(old Footprint) Footprint {
	return Footprint{f.Rss - old.Rss, f.Pss - old.Pss, f.Goroutines - old.Goroutines}
}

// OwnFootprint returns the footprint of this process after a garbage
// collection that has given all free memory back.
func OwnFootprint() (Footprint, error) {
	// Twice: what finalizers of the first round free goes in the second.
	runtime.GC()
	debug.FreeOSMemory()
	fields, err := colonFields("/proc/self/smaps_rollup")
	return Footprint{
		Rss:        fields["Rss"] << 10,
		Pss:        fields["Pss"] << 10,
		Goroutines: runtime.NumGoroutine(),
	}, err
}

// colonFields reads the lines "name: number" of a file of /proc.
func colonFields(name string) (map[string]int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fields := make(map[string]int64)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), ":")
		words := strings.Fields(value)
		if !ok || len(words) == 0 {
			continue
		}
		if n, err := strconv.ParseInt(words[0], 10, 64); err == nil {
			fields[key] = n
		}
	}
	return fields, lines.Err()
}
