package shmconn_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/internal/wire"
	"github.com/shmconn/shmconn/shmconn"
)

// The byzantine peer is a program in another language that knows the protocol
// from its document only. Its victim is this process.
const byzantineProgram = "testdata/byzantine.py"

const (
	// victimHandshake is what a victim allows for a handshake, and victimPause
	// for each read and write.
	victimHandshake = 300 * time.Millisecond
	victimPause     = 200 * time.Millisecond

	// unhurried is more than any of that and the peer's own part of a case take,
	// on a machine that is busy with other things.
	unhurried = 10 * time.Second
)

type byzantineCase struct{ role, want, name string }

// byzantineCases asks the program what it can do.
func byzantineCases(t *testing.T) []byzantineCase {
	t.Helper()
	out, err := exec.Command("python3", byzantineProgram, "list").Output()
	if err != nil {
		t.Fatalf("%v (Python 3.10 or later is needed)", err)
	}
	var cases []byzantineCase
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		cases = append(cases, byzantineCase{f[0], f[1], f[2]})
	}
	return cases
}

// byzantine is the running program.
type byzantine struct {
	in    io.Writer
	lines chan string
}

func startByzantine(t *testing.T) *byzantine {
	t.Helper()
	cmd := exec.Command("python3", byzantineProgram, "serve")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b := &byzantine{in, make(chan string, 16)}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(b.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			b.lines <- s.Text()
		}
	})
	t.Cleanup(func() {
		in.Close()
		wg.Wait()
		cmd.Wait()
	})
	return b
}

const noMeans = "this kernel has no means for the attack; run on one that has"

// line returns the next line of output.
func (b *byzantine) line(t *testing.T) string {
	t.Helper()
	select {
	case s := <-b.lines:
		return s
	case <-time.After(2 * unhurried):
		t.Fatal("the byzantine peer does not come to an end")
		return ""
	}
}

// outcome classifies what has ended a connection.
func outcome(err error) string {
	switch {
	case errors.Is(err, shmconn.ErrCorrupt):
		return "corrupt"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case err == io.EOF:
		return "eof"
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(err, syscall.EPIPE):
		return "pipe"
	}
	return fmt.Sprint("unexpected: ", err)
}

// suffer is the victim's part: it sends back what it receives until the peer
// has spoilt the connection, and says how. It asserts that whatever the peer
// does, no call takes longer than its deadline.
func suffer(t *testing.T, c net.Conn) string {
	t.Helper()
	timed := func(op string, f func([]byte) (int, error), b []byte) (int, error) {
		start := time.Now()
		c.SetDeadline(start.Add(victimPause))
		n, err := f(b)
		if took := time.Since(start); took > victimPause+time.Second {
			t.Errorf("%s took %v beyond its deadline", op, took-victimPause)
		}
		if n < 0 || n > len(b) || n == 0 && err == nil {
			t.Errorf("%s of %d bytes: %d, %v", op, len(b), n, err)
		}
		return n, err
	}
	var err error
	var n int
	for buf := make([]byte, 64<<10); err == nil; {
		if n, err = timed("read", c.Read, buf); n > 0 {
			if _, werr := timed("write", c.Write, buf[:n]); err == nil {
				err = werr
			}
		}
	}
	start := time.Now()
	c.Close()
	if took := time.Since(start); took > time.Second {
		t.Errorf("close took %v", took)
	}
	return outcome(err)
}

// An honestClient keeps an honest connection to the listener under attack busy,
// and makes new ones. While mu is held it does nothing and holds no more than
// the one connection.
type honestClient struct {
	mu   sync.Mutex
	stop chan struct{}
	done sync.WaitGroup
}

// honestLimit bounds a round trip, and a dial with a round trip, beside the
// attacks. It is far above what they take on a busy machine, and far below the
// time for which an attacker can keep a handshake open.
const honestLimit = 2 * time.Second

func startHonest(t *testing.T, path string) *honestClient {
	t.Helper()
	h := &honestClient{stop: make(chan struct{})}
	c := dial(t, "shm", path)
	if err := exchange(c, "to be returned"); err != nil { // served from here on
		t.Fatal(err)
	}
	h.done.Go(func() {
		for i := 0; ; i++ {
			h.mu.Lock()
			start := time.Now()
			err := exchange(c, "to be returned")
			if err == nil && i%8 == 0 {
				var fresh net.Conn
				if fresh, err = shmconn.Dial("shm", path); err == nil {
					err = exchange(fresh, "to be returned, too")
					fresh.Close()
				}
			}
			took := time.Since(start)
			h.mu.Unlock()
			if err != nil || took > honestLimit {
				t.Errorf("honest client: %v after %v", err, took)
				return
			}
			select {
			case <-h.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	t.Cleanup(func() {
		close(h.stop)
		h.done.Wait()
	})
	return h
}

// TestByzantine runs each case of the byzantine peer against a server, or a
// client, in this process, while an honest client goes on talking to the same
// server. The victim must report the right error in time, leave nothing behind
// and use little CPU time.
func TestByzantine(t *testing.T) {
	// The package python3-minimal is without it.
	if err := exec.Command("python3", "-c", "import ctypes").Run(); err != nil {
		t.Skipf("no Python with its standard library: apt-get install python3: %v", err)
	}
	noLeaks(t)
	watchdog(t, 10*time.Minute)
	cases := byzantineCases(t)
	b := startByzantine(t)

	arrivals := make(chan arrival, 1024)
	inner, path := listen(t, "shm", shmconn.ListenConfig{
		HandshakeTimeout: victimHandshake,
		MaxPending:       256, // none is displaced: that is for package listener to test
		OnError: func(c net.Conn, _ error) {
			select {
			case arrivals <- arrival{markedPID(c), nil}:
			default:
			}
		},
	})
	// This process is served by echo, the connections of others are victims.
	l := &sorted{Listener: inner, arrivals: arrivals}
	serveEcho(t, l)
	honest := startHonest(t, path)

	for i, tc := range cases {
		if testing.Short() && i%4 != 0 {
			continue
		}
		t.Run(tc.role+"/"+strings.ReplaceAll(tc.name, "/", "_"), func(t *testing.T) {
			honest.mu.Lock()
			before := takeFootprint(t)
			honest.mu.Unlock()
			start, cpu := time.Now(), cpuTime(t)

			var got string
			if tc.role == "client" {
				fmt.Fprintf(b.in, "client\t%s\t%s\n", path, tc.name)
				got = sufferAsServer(t, b, arrivals)
			} else {
				at := socketPath(t)
				fmt.Fprintf(b.in, "server\t%s\t%s\n", at, tc.name)
				got = sufferAsClient(t, b, at)
			}
			code, isExit := strings.CutPrefix(b.line(t), "exit ")
			wall := time.Since(start)
			switch {
			case !isExit || code != "0" && code != "77" && code != strconv.Itoa(-int(unix.SIGKILL)):
				t.Errorf("the peer could not go on: %s", code)
			case code == "77":
				t.Skip(noMeans)
			case !slices.Contains(strings.Split(tc.want, "|"), got):
				t.Errorf("the victim reports %s, want %s", got, tc.want)
			}
			// A goroutine that spins without end uses as much as the wall time.
			if used := cpuTime(t) - cpu; used > 200*time.Millisecond+wall*3/4 {
				t.Errorf("%v of CPU time in %v", used, wall)
			}
			if t.Failed() {
				return
			}
			eventually(t, "descriptors, mappings, goroutines back to where they were", func() bool {
				honest.mu.Lock()
				defer honest.mu.Unlock()
				return takeFootprint(t).atMost(before)
			})
		})
	}
}

// An arrival is what a listener has come to with a client: a connection, or nil
// if it was refused.
type arrival struct {
	from int32 // the process
	conn net.Conn
}

// markedPID returns the process that the byzantine peer puts into its mark.
func markedPID(c net.Conn) int32 {
	var pid int32
	fmt.Sscanf(c.RemoteAddr().String(), wire.MarkPrefix+"%08x", &pid) // or 0
	return pid
}

// sufferAsServer waits for what the byzantine client comes to. The server may be
// told of clients of earlier cases only now: they see their sockets closed before.
func sufferAsServer(t *testing.T, b *byzantine, arrivals <-chan arrival) string {
	t.Helper()
	var pid int32
	if _, err := fmt.Sscanf(b.line(t), "pid %d", &pid); err != nil {
		t.Fatal(err)
	}
	for late := time.After(unhurried); ; {
		select {
		case a := <-arrivals:
			switch {
			case a.from == pid && a.conn == nil:
				return "refused"
			case a.from == pid:
				return suffer(t, a.conn)
			case a.conn != nil:
				a.conn.Close()
			}
		case <-late:
			t.Error("neither refused nor accepted")
			return "nothing"
		}
	}
}

// sufferAsClient dials the byzantine server.
func sufferAsClient(t *testing.T, b *byzantine, path string) string {
	t.Helper()
	switch s := b.line(t); s {
	case "listening":
	case "exit 77":
		t.Skip(noMeans)
	default:
		t.Fatal(s)
	}
	ctx, cancel := context.WithTimeout(context.Background(), victimHandshake)
	defer cancel()
	start := time.Now()
	c, err := new(shmconn.Dialer).DialContext(ctx, "shm", path)
	if took := time.Since(start); took > victimHandshake+time.Second {
		t.Errorf("dial took %v beyond its context", took-victimHandshake)
	}
	if err != nil {
		return "refused"
	}
	return suffer(t, c)
}

// sorted is a listener that passes on the connections of this process and gives
// all others to arrivals.
type sorted struct {
	net.Listener
	arrivals chan<- arrival
}

func (l *sorted) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		pid := c.(*shmconn.Conn).PeerCredentials().PID
		if pid == int32(os.Getpid()) {
			return c, nil
		}
		l.arrivals <- arrival{pid, c}
	}
}
