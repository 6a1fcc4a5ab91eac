package run

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// A Machine is what the numbers were measured on, and with what.
type Machine struct {
	CPU     string
	CPUs    int
	Kernel  string
	Go      string
	OS      string
	Arch    string
	Modules map[string]string // versions of what is compared
}

// ThisMachine describes this machine. What it cannot find out stays empty.
func ThisMachine() Machine {
	m := Machine{
		CPUs:    runtime.NumCPU(),
		Go:      runtime.Version(),
		OS:      runtime.GOOS,
		Arch:    runtime.GOARCH,
		Modules: make(map[string]string),
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(b))
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		lines := bufio.NewScanner(bytes.NewReader(b))
		for lines.Scan() {
			if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			switch dep.Path {
			case "github.com/cloudwego/shmipc-go", "github.com/godbus/dbus/v5", "google.golang.org/grpc":
				m.Modules[dep.Path] = dep.Version
			}
		}
	}
	return m
}

// String writes the machine in one line.
func (m Machine) String() string {
	return fmt.Sprintf("%d x %s, Linux %s, %s %s/%s", m.CPUs, m.CPU, m.Kernel, m.Go, m.OS, m.Arch)
}

// command returns the command that measures a row again with these options.
func (o Options) command(r Row) string {
	cmd := fmt.Sprintf("go run ./bench -run '^%s$' -rounds %d -slice %s", r.Name(), o.Rounds, o.Slice)
	if o.Arm != nil {
		cmd += fmt.Sprintf(" -arm '%s'", o.Arm)
	}
	return cmd
}
