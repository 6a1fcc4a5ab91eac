package shmconn_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/shmconn/shmconn/memfd"
	"github.com/shmconn/shmconn/shmconn"
)

// childPong answers messages of args[2] bytes.
func childPong(args []string) error {
	go orphaned()
	c, err := dialAs(args[0], args[1])
	if err != nil {
		return err
	}
	size, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	pong(c, size)
	return nil
}

// pong answers each message of size bytes by itself.
func pong(c net.Conn, size int) {
	buf := make([]byte, size)
	for {
		if _, err := io.ReadFull(c, buf); err != nil {
			return
		}
		if _, err := c.Write(buf); err != nil {
			return
		}
	}
}

// ping makes one round trip.
func ping(c net.Conn, buf []byte) error {
	if _, err := c.Write(buf); err != nil {
		return err
	}
	_, err := io.ReadFull(c, buf)
	return err
}

// childDrain reads all there is.
func childDrain(args []string) error {
	go orphaned()
	c, err := dialAs(args[0], args[1])
	if err != nil {
		return err
	}
	drain(c)
	return nil
}

func drain(c net.Conn) {
	buf := make([]byte, 256<<10)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

// opposite connects to the given part, played by a child process or by a
// goroutine of this one. The rings have the default size.
func opposite(b testing.TB, network string, processes int, part string, play func(net.Conn), args ...string) net.Conn {
	b.Helper()
	path := socketPath(b)
	l, err := listenAs(network, path)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	if processes == 2 {
		startChild(b, part, append([]string{network, path}, args...)...)
		return accept(b, l)
	}
	far, err := dialAs(network, path)
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { play(far) })
	near := accept(b, l)
	b.Cleanup(func() {
		near.Close()
		far.Close()
		wg.Wait()
	})
	return near
}

// each runs a benchmark over unix sockets and shared memory, in one process
// and two, with messages of each size.
func each(b *testing.B, sizes []int, run func(b *testing.B, network string, processes, size int)) {
	for _, size := range sizes {
		for _, processes := range []int{1, 2} {
			for _, network := range []string{"plain", "shm"} {
				b.Run(fmt.Sprintf("size=%d/processes=%d/net=%s", size, processes, network), func(b *testing.B) {
					run(b, network, processes, size)
				})
			}
		}
	}
}

// reportWakes adds how many system calls an operation costs at this end.
func reportWakes(b *testing.B, c net.Conn, before shmconn.Stats) {
	if s, ok := c.(*shmconn.Conn); ok {
		after := s.Stats()
		b.ReportMetric(float64(after.WakesSent-before.WakesSent)/float64(b.N), "wakes/op")
		b.ReportMetric(float64(after.ReadParks+after.WriteParks-before.ReadParks-before.WriteParks)/float64(b.N), "parks/op")
	}
}

func statsOf(c net.Conn) shmconn.Stats {
	if s, ok := c.(*shmconn.Conn); ok {
		return s.Stats()
	}
	return shmconn.Stats{}
}

// BenchmarkPingPong is the time of a round trip.
func BenchmarkPingPong(b *testing.B) {
	each(b, []int{64, 1 << 10, 64 << 10}, func(b *testing.B, network string, processes, size int) {
		c := opposite(b, network, processes, "pong", func(c net.Conn) { pong(c, size) }, strconv.Itoa(size))
		buf := make([]byte, size)
		if err := ping(c, buf); err != nil { // the child has started
			b.Fatal(err)
		}
		before := statsOf(c)
		b.SetBytes(2 * int64(size))
		b.ReportAllocs()
		for b.Loop() {
			if err := ping(c, buf); err != nil {
				b.Fatal(err)
			}
		}
		reportWakes(b, c, before)
	})
}

// BenchmarkStream is the time of one Write to a reader that does nothing else.
func BenchmarkStream(b *testing.B) {
	each(b, []int{64, 1 << 10, 64 << 10, 1 << 20}, func(b *testing.B, network string, processes, size int) {
		c := opposite(b, network, processes, "drain", drain)
		buf := make([]byte, size)
		before := statsOf(c)
		b.SetBytes(int64(size))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Write(buf); err != nil {
				b.Fatal(err)
			}
		}
		reportWakes(b, c, before)
	})
}

// BenchmarkConnect is the time of a handshake and a Close.
func BenchmarkConnect(b *testing.B) {
	for _, network := range []string{"plain", "shm"} {
		b.Run("net="+network, func(b *testing.B) {
			path := socketPath(b)
			l, err := listenAs(network, path)
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			b.ReportAllocs()
			for b.Loop() {
				c, err := dialAs(network, path)
				if err != nil {
					b.Fatal(err)
				}
				s, err := l.Accept()
				if err != nil {
					b.Fatal(err)
				}
				c.Close()
				s.Close()
			}
		})
	}
}

// BenchmarkConnectMemory is the part of a handshake and a Close that only fresh
// memory takes: what both ends ask of the kernel to make, check, map, seal and
// unmap the two memories of one connection, and the page faults of the first
// bytes, on one goroutine. Nobody is waited for or woken.
func BenchmarkConnectMemory(b *testing.B) {
	size := 4<<20 + int64(os.Getpagesize()) // that of the default rings, and a page for what is said of them
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	// write makes a memory its writer's, and read maps it for the other end, who
	// has checked it.
	write := func(f *os.File) []byte {
		mem, err := memfd.MapReadWrite(f, size)
		must(err)
		must(memfd.SealWriter(f))
		return mem
	}
	read := func(f *os.File) []byte {
		must(memfd.Verify(f, size, memfd.WriterSealed))
		must(memfd.VerifyEnforced(f))
		mem, err := memfd.MapReadOnly(f, size)
		must(err)
		return mem
	}
	var sum byte
	for b.Loop() {
		for range 2 {
			f, err := memfd.Create("shmconn-bench", size)
			must(err)
			mine, theirs := write(f), read(f)
			f.Close()
			for _, i := range []int{0, 4096} { // what is said, and the first bytes
				mine[i] = 1
				sum += theirs[i]
			}
			must(memfd.Unmap(mine))
			must(memfd.Unmap(theirs))
		}
	}
	if want := byte(4 * b.N); sum != want {
		b.Errorf("read %d, want %d", sum, want)
	}
}
