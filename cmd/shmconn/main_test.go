package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// The test binary plays the program: started with this variable set it runs main, after the
// preparation that it names. The processes of a test are thus under the race detector if the test is.
const roleVar = "SHMCONN_CMD_TEST"

// preparations make a process what a test wants the program to find.
var preparations = map[string]func() error{"none": func() error { return nil }}

// patience bounds every wait for what should come at once. None comes near it on a machine that is
// merely busy.
const patience = time.Minute

func TestMain(m *testing.M) {
	if role, ok := os.LookupEnv(roleVar); ok {
		if err := preparations[role](); err != nil {
			panic(err)
		}
		main()
	}
	os.Exit(m.Run())
}

// program returns the program, not started, with the given arguments.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	// The race detector would have each process sleep for a second at its end.
	cmd.Env = append(os.Environ(), roleVar+"=none", "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
	cmd.WaitDelay = patience
	return cmd
}

// result is what a run of the program has come to.
type result struct {
	stdout, stderr string
	code           int
}

// runProgram runs the program with the given standard input, and returns what it printed.
func runProgram(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	return finish(t, program(t, args...), stdin)
}

// finish runs cmd to its end.
func finish(t *testing.T, cmd *exec.Cmd, stdin string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errOut
	timer := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	err := cmd.Run()
	if !timer.Stop() {
		t.Fatalf("no end after %v\n%s%s", patience, &out, &errOut)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{out.String(), errOut.String(), cmd.ProcessState.ExitCode()}
}

// process is a run of the program that the test talks to.
type process struct {
	*exec.Cmd
	in     io.WriteCloser
	out    io.Reader
	waited chan struct{} // closed at its end

	mu     sync.Mutex
	change sync.Cond // signals new lines, and the end
	lines  []string  // of standard error
	ended  bool
}

// start starts the program. It is killed with the test.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: program(t, args...), waited: make(chan struct{})}
	p.change.L = &p.mu
	var err error
	if p.in, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if p.out, err = p.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	errOut, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for s := bufio.NewScanner(errOut); s.Scan(); {
			p.mu.Lock()
			p.lines = append(p.lines, s.Text())
			p.change.Broadcast()
			p.mu.Unlock()
		}
		p.mu.Lock()
		p.ended = true
		p.change.Broadcast()
		p.mu.Unlock()
	}()
	t.Cleanup(func() {
		p.Process.Kill()
		p.wait(t)
	})
	return p
}

// says waits for a line of standard error that contains text, and returns what follows it there.
func (p *process) says(t *testing.T, text string) string {
	t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		p.mu.Lock()
		late = true
		p.change.Broadcast()
		p.mu.Unlock()
	})
	defer timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for next := 0; ; {
		for ; next < len(p.lines); next++ {
			if _, rest, ok := strings.Cut(p.lines[next], text); ok {
				return rest
			}
		}
		if p.ended || late {
			t.Fatalf("standard error has no %q:\n%s", text, strings.Join(p.lines, "\n"))
		}
		p.change.Wait()
	}
}

// wait waits for the end of the process, which may have been waited for already, and returns its exit
// code, -1 for a signal. Standard output must have been read to its end.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.waited:
		return p.ProcessState.ExitCode()
	default:
	}
	timer := time.AfterFunc(patience, func() { p.Process.Kill() })
	p.mu.Lock()
	for !p.ended { // Wait closes the pipe that is still being read
		p.change.Wait()
	}
	p.mu.Unlock()
	p.Wait()
	close(p.waited)
	if !timer.Stop() {
		t.Errorf("no end after %v", patience)
	}
	return p.ProcessState.ExitCode()
}

// socketPath returns a fresh path, short enough for a socket whatever the test's name.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cmd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// TestUsage runs the program with command lines that are wrong, and with those that ask for help.
func TestUsage(t *testing.T) {
	for _, test := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"", 2, "", "Usage: shmconn COMMAND"},
		{"-h", 0, "Usage: shmconn COMMAND", ""},
		{"help", 0, "  proxy ", ""},
		{"fly", 2, "", `shmconn: no command "fly"`},
		{"proxy -h", 0, "Usage: shmconn proxy [flags] LISTEN CONNECT", ""},
		{"cat -h", 0, "Usage: shmconn cat [flags] ADDRESS", ""},
		{"cat", 2, "", "an operand is missing: ADDRESS"},
		{"cat udp:a", 2, "", `unknown kind of address "udp"`},
		{"doctor -h", 0, "Usage: shmconn doctor\n", ""},
		{"doctor now", 2, "", `unexpected operand "now"`},
		{"proxy", 2, "", "shmconn proxy: an operand is missing: LISTEN CONNECT\nRun 'shmconn proxy -h'"},
		{"proxy a b c", 2, "", `unexpected operand "c"`},
		{"proxy -fast a b", 2, "", "not defined: -fast"},
		{"proxy -mode rw a b", 2, "", "want octal permissions"},
		{"proxy -mode 7777 a b", 2, "", "want octal permissions"},
		{"proxy udp:localhost:1 shm:b", 2, "", `unknown kind of address "udp"`},
		{"proxy shm: shm:b", 2, "", "the address is empty"},
		{"proxy shm:a tcp:localhost", 2, "", "missing port"},
	} {
		t.Run(test.args, func(t *testing.T) {
			r := runProgram(t, "", strings.Fields(test.args)...)
			if r.code != test.code {
				t.Errorf("exit code is %d, want %d", r.code, test.code)
			}
			for _, s := range []struct{ name, got, want string }{{"output", r.stdout, test.stdout}, {"error", r.stderr, test.stderr}} {
				if !strings.Contains(s.got, s.want) || (s.want == "") != (s.got == "") {
					t.Errorf("standard %s is %q, want %q", s.name, s.got, s.want)
				}
			}
		})
	}
}

// TestParseEndpoint checks how addresses are read.
func TestParseEndpoint(t *testing.T) {
	for s, want := range map[string]endpoint{
		"shm:/run/a":    {"shm", "/run/a"},
		"unix:a":        {"unix", "a"},
		"plain:@a":      {"plain", "@a"},
		"tcp:[::1]:80":  {"tcp", "[::1]:80"},
		"tcp::80":       {"tcp", ":80"},
		"/run/a":        {"unix", "/run/a"},
		"./a":           {"unix", "./a"},
		"/run/a:b":      {"unix", "/run/a:b"},
		"@a:b":          {"unix", "@a:b"},
		"app.sock":      {"unix", "app.sock"},
		"shm:/run/a:80": {"shm", "/run/a:80"},
	} {
		if got, err := parseEndpoint(s); err != nil || got != want {
			t.Errorf("%q is %v, %v, want %v", s, got, err, want)
		}
	}
}

// TestInBytes checks the formatting of sizes.
func TestInBytes(t *testing.T) {
	for n, want := range map[float64]string{0: "0 B", 999: "999 B", 999.6: "1 kB", 1234: "1.23 kB", 999_600: "1 MB", 2e9: "2 GB", 3e12: "3 TB", 4e15: "4 PB"} {
		if got := inBytes(n); got != want {
			t.Errorf("%v is %q, want %q", n, got, want)
		}
	}
}
