package peer

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/shmconn/shmconn/shmconn"
)

// A Server is a process that plays a part. It ends with the test at the latest.
type Server struct {
	Path string // of its socket

	part string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	stop *time.Timer
	wait func() (Report, error)

	terminated bool // the process ends by itself
	killed     bool // nothing is expected of it any more
}

// Start starts the part in a process of its own, on a fresh path, and returns when clients can
// connect.
//
// The test ends with CheckShared. One that hangs loses its server after twice the Patience, which
// ends whatever it waits for.
func Start(t testing.TB, part string, args ...string) *Server {
	t.Helper()
	return StartAt(t, SocketPath(t), part, args...)
}

// StartAt is Start with a path.
func StartAt(t testing.TB, path, part string, args ...string) *Server {
	t.Helper()
	s := StartBy(t, nil, path, part, args...)
	t.Cleanup(func() { s.CheckShared(t) })
	s.Ready(t)
	return s
}

// StartBy starts the part by a program, given with its arguments, that gets the command line of the
// process as further ones, and returns at once.
func StartBy(t testing.TB, program []string, path, part string, args ...string) *Server {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := append(append(program, exe, path), args...)
	s := &Server{Path: path, part: part, cmd: exec.Command(command[0], command[1:]...)}
	s.cmd.Env = append(os.Environ(), Environment(part)...)
	s.cmd.Stderr = t.Output()
	in, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.in, s.out = in, bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.stop = time.AfterFunc(2*Patience, func() { s.cmd.Process.Kill() })
	s.wait = sync.OnceValues(s.end)
	t.Cleanup(func() { s.wait() })
	return s
}

// CheckShared ends the process and checks that it had connections, all of them over shared memory
// and with bytes in both directions. Nothing is expected of one that was killed.
func (s *Server) CheckShared(t testing.TB) {
	t.Helper()
	if r := s.Wait(t); !s.killed && !t.Failed() && (r.Shared == 0 || r.Plain > 0 || r.Read == 0 || r.Written == 0) {
		t.Errorf("%s: %+v; want all of it in shared memory", s.part, r)
	}
}

// Environment returns the variables that make a process of this test binary play the part.
func Environment(part string) []string {
	// The race detector would have each process sleep for a second at its end.
	return []string{childEnv + "=" + part, "GORACE=" + os.Getenv("GORACE") + " atexit_sleep_ms=0"}
}

// Ready waits until the process listens.
func (s *Server) Ready(t testing.TB) {
	t.Helper()
	if line, err := s.out.ReadString('\n'); err != nil || line != ready {
		t.Fatalf("%s: got %q, %v; want %q", s.part, line, err, ready)
	}
}

// end has the process end, and reads its last words.
func (s *Server) end() (r Report, err error) {
	defer s.stop.Stop()
	defer s.in.Close()
	if s.killed {
		s.cmd.Wait()
		return r, nil
	}
	if !s.terminated {
		s.in.Close()
	}
	err = json.NewDecoder(s.out).Decode(&r)
	if werr := s.cmd.Wait(); werr != nil {
		err = werr
	}
	return r, err
}

// Wait ends the process, unless it has ended by itself, and returns what connections it had.
func (s *Server) Wait(t testing.TB) Report {
	t.Helper()
	r, err := s.wait()
	if err != nil {
		t.Errorf("%s: %v", s.part, err)
	}
	return r
}

// Signal sends the process a signal.
func (s *Server) Signal(t testing.TB, sig os.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Error(err)
	}
}

// Terminate sends SIGTERM, as service managers do. The part has to return in answer to that, which
// Wait waits for.
func (s *Server) Terminate(t testing.TB) {
	t.Helper()
	s.terminated = true
	s.Signal(t, syscall.SIGTERM)
}

// Kill ends the process on the spot.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.killed = true
	s.Signal(t, syscall.SIGKILL)
	s.Wait(t)
}

// DialContext connects to the server whatever the address, for the dial functions of frameworks.
func (s *Server) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(shmconn.Dialer).DialContext(ctx, "unix", s.Path)
}

// Dial returns a connection to the server that lasts no longer than the test and the Patience.
func (s *Server) Dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := s.DialContext(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(Patience))
	return c
}
