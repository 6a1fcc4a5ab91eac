//go:build !race

package shmconn_test

import (
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shmconn/shmconn/shmconn"
)

// The race detector allocates and slows everything down, so what is measured
// is measured without it.

// TestNoAllocations covers Read and Write, awake and asleep.
func TestNoAllocations(t *testing.T) {
	watchdog(t, patience)
	c, s := pair(t, 4096)
	buf := make([]byte, 1000)
	if n := testing.AllocsPerRun(1000, func() {
		c.Write(buf)
		io.ReadFull(s, buf)
	}); n != 0 {
		t.Errorf("%v allocations for a Write and a Read", n)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		echoBytes(s)
	}()
	before := c.Stats()
	one := buf[:1]
	if n := testing.AllocsPerRun(1000, func() {
		c.Write(one)
		c.Read(one)
	}); n != 0 {
		t.Errorf("%v allocations for a round trip of sleepers", n)
	}
	if slept := c.Stats().ReadParks - before.ReadParks; slept < 100 {
		t.Errorf("a reader has slept %d times in 1000 round trips", slept)
	}
	c.Close()
	<-done
}

// TestIdleCostsNothing has connections on which nothing happens cost no CPU
// time.
func TestIdleCostsNothing(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	l, path := listen(t, "shm", shmconn.ListenConfig{})
	results := make(chan error, 100)
	for range cap(results) / 2 {
		c, s := shared(t, dial(t, "shm", path)), shared(t, accept(t, l))
		for _, end := range []*shmconn.Conn{c, s} {
			go func() {
				_, err := end.Read(make([]byte, 10))
				results <- err
			}()
			eventually(t, "reader asleep", func() bool { return end.Stats().ReadParks > 0 })
		}
		defer c.Close()
		defer s.Close()
	}
	before := cpuTime(t)
	const nap = 200 * time.Millisecond
	time.Sleep(nap) // what is measured is what is used meanwhile
	if used := cpuTime(t) - before; used > nap/10 {
		t.Errorf("%v of CPU time in %v for %d idle connections", used, nap, cap(results)/2)
	}
}

// machineTime is how long the CPUs have worked, for this virtual machine or
// for others, since it started (proc_stat(5)).
func machineTime(t testing.TB) time.Duration {
	t.Helper()
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	return ticks(t, strings.Fields(line), 1, 2, 3, 6, 7, 8)
}

// processTime is what another process has used (proc_pid_stat(5)).
func processTime(t testing.TB, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return ticks(t, strings.Fields(rest), 11, 12)
}

// ticks adds up fields in units of USER_HZ, which is 100 everywhere.
func ticks(t testing.TB, fields []string, which ...int) (sum time.Duration) {
	t.Helper()
	for _, i := range which {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(n) * 10 * time.Millisecond
	}
	return sum
}

// TestPingPongFasterThanUnix compares round trips of 64 bytes between two
// processes with those over a unix socket. Both are measured in turns, because
// where the machine runs its virtual CPUs changes everything within seconds,
// and rounds in which other processes were busy do not count.
func TestPingPongFasterThanUnix(t *testing.T) {
	const (
		size   = 64
		span   = 100 * time.Millisecond
		want   = 10
		rounds = 11
		tries  = 60
	)
	watchdog(t, 4*patience)
	if runtime.NumCPU() < 2 {
		t.Skip("on one CPU the other process cannot run meanwhile: give the machine a second one")
	}
	connect := func(network string) (net.Conn, int) {
		path := socketPath(t)
		l, err := listenAs(network, path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		child := startChild(t, "pong", network, path, strconv.Itoa(size))
		return accept(t, l), child.Process.Pid
	}
	shm, shmPID := connect("shm")
	plain, plainPID := connect("plain")
	shared(t, shm)
	buf := make([]byte, size)
	measure := func(c net.Conn) time.Duration {
		n, start := 0, time.Now()
		for ; time.Since(start) < span; n += 10 {
			for range 10 {
				if err := ping(c, buf); err != nil {
					t.Fatal(err)
				}
			}
		}
		return time.Since(start) / time.Duration(n)
	}
	ours := func() time.Duration {
		return cpuTime(t) + processTime(t, shmPID) + processTime(t, plainPID)
	}
	measure(shm)
	measure(plain)
	var ratios []float64
	var fast, slow []time.Duration
	for range tries {
		machine, us := machineTime(t), ours()
		f, s := measure(shm), measure(plain)
		if others := machineTime(t) - machine - (ours() - us); others > span/4 {
			continue
		}
		fast, slow = append(fast, f), append(slow, s)
		ratios = append(ratios, float64(s)/float64(f))
		if len(ratios) == rounds {
			break
		}
	}
	if len(ratios) < rounds {
		t.Skipf("other processes kept the CPUs busy in all but %d of %d rounds: run this test alone, by go test -run %s", len(ratios), tries, t.Name())
	}
	t.Logf("shared memory %v, unix socket %v, ratios %.1f", fast, slow, ratios)
	slices.Sort(ratios)
	if median := ratios[rounds/2]; median < want {
		t.Errorf("shared memory is %.1f times as fast as a unix socket, want %d", median, want)
	}
}
