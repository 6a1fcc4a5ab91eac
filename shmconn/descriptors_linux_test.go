package shmconn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/shmconn"
)

// limitDescriptors leaves this process room for that many more descriptors: the
// limit is one on their numbers.
func limitDescriptors(room string) error {
	left, err := strconv.Atoi(room)
	if err != nil {
		return err
	}
	limit := uint64(0)
	for ; ; limit++ {
		if _, err := unix.FcntlInt(uintptr(limit), unix.F_GETFD, 0); err == nil {
			continue
		}
		if left--; left < 0 {
			break
		}
	}
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit})
}

// largeRing is the size of a ring for which limitMemory leaves no room.
const largeRing = 1 << 30

// limitMemory leaves this process room for no more than 256 MiB of mappings.
func limitMemory() error {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	var pages uint64
	if _, err := fmt.Sscan(string(statm), &pages); err != nil {
		return err
	}
	limit := pages*uint64(os.Getpagesize()) + 256<<20
	return unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: limit, Max: limit})
}

// noMemory in place of a number of descriptors stands for limitMemory.
const noMemory = "memory"

// limit leaves this process room for so many descriptors, or little memory.
func limit(room string) error {
	if room == noMemory {
		return limitMemory()
	}
	return limitDescriptors(room)
}

// kind names what carries c.
func kind(c net.Conn) string {
	if _, ok := c.(*shmconn.Conn); ok {
		return "shared"
	}
	return "plain"
}

// childPoorClient dials args[1] on network args[0] with room for args[2]
// descriptors, and reports what came of it.
func childPoorClient(args []string) error {
	go orphaned()
	// The poller opens its own descriptors with the first socket.
	l, err := net.Listen("unix", "")
	if err != nil {
		return err
	}
	l.Close()
	if err := limit(args[2]); err != nil {
		return err
	}
	d := shmconn.Dialer{}
	if args[2] == noMemory {
		d.RingSize = largeRing
	}
	c, err := d.Dial(args[0], args[1])
	if err != nil {
		fmt.Print("error: ", err)
		return nil
	}
	if err := exchange(c, "with what there is"); err != nil {
		return err
	}
	fmt.Print(kind(c))
	return nil
}

// childPoorServer listens on args[1] on network args[0] and accepts one
// connection, with room for args[2] descriptors.
func childPoorServer(args []string) error {
	go orphaned()
	lc := shmconn.ListenConfig{MaxRingSize: largeRing}
	l, err := lc.Listen(context.Background(), args[0], args[1])
	if err != nil {
		return err
	}
	// All connections share a descriptor that the first one opens.
	first, err := shmconn.Dial(args[0], args[1])
	if err != nil {
		return err
	}
	defer first.Close()
	second, err := l.Accept()
	if err != nil {
		return err
	}
	defer second.Close()
	memory := l.(*shmconn.Listener).Stats().Memory
	if err := limit(args[2]); err != nil {
		return err
	}
	fmt.Println("listening")
	c, err := l.Accept()
	// accept(2) needs a descriptor even to find that nobody is waiting, so that
	// the error can overtake the one connection that there is room for.
	for err != nil && args[2] != "0" && errors.Is(err, unix.EMFILE) {
		c, err = l.Accept()
	}
	if err != nil {
		fmt.Print("error: ", err)
		return nil
	}
	fmt.Print(kind(c))
	if now := l.(*shmconn.Listener).Stats().Memory; kind(c) == "plain" && now != memory {
		fmt.Printf(" with %d bytes", now-memory)
	}
	echo(c)
	return nil
}

// TestClientOutOfDescriptors falls back to the socket, whichever descriptor it
// is that there is no room for.
func TestClientOutOfDescriptors(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	l, path := listen(t, "unix", shmconn.ListenConfig{})
	serveEcho(t, l)
	was := "plain"
	for room := range 10 {
		c := startChild(t, "poor client", "unix", path, strconv.Itoa(room))
		out, err := io.ReadAll(c.out)
		if err != nil {
			t.Fatal(err)
		}
		got, _, _ := strings.Cut(string(out), ":")
		switch {
		case room == 0 && got == "error":
		case room >= 1 && got == was:
		case room >= 4 && got == "shared":
			was = got
		default:
			t.Errorf("room for %d descriptors: %s", room, out)
		}
	}
	if was != "shared" {
		t.Error("shared memory not even with enough descriptors")
	}

	c := startChild(t, "poor client", "shm", path, "3")
	if out, _ := io.ReadAll(c.out); !strings.HasPrefix(string(out), "error: dial unix "+path) {
		t.Errorf("strict client without descriptors: %s", out)
	}
}

// TestServerOutOfDescriptors does so on the server's side.
func TestServerOutOfDescriptors(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	was := "plain"
	for room := range 10 {
		path := socketPath(t)
		child := startChild(t, "poor server", "unix", path, strconv.Itoa(room))
		expect(t, child.out, "listening\n")
		c, err := shmconn.Dial("unix", path)
		if err != nil && room == 0 {
			continue // the server has given up already
		}
		if err != nil {
			t.Fatalf("room for %d descriptors: %v", room, err)
		}
		defer c.Close()
		err = exchange(c, "with what there is")
		got := kind(c)
		c.Close()
		out, readErr := io.ReadAll(child.out)
		if readErr != nil {
			t.Fatal(readErr)
		}
		switch {
		case room == 0 && strings.Contains(string(out), "too many open files") && err != nil:
			continue
		case room >= 1 && got == was:
		case room >= 5 && got == "shared":
			was = got
		default:
			t.Errorf("room for %d descriptors: client is %s, server %s", room, got, out)
		}
		if err != nil || string(out) != got {
			t.Errorf("room for %d descriptors: client is %s, server %s, exchange: %v", room, got, out, err)
		}
	}
	if was != "shared" {
		t.Error("shared memory not even with enough descriptors")
	}
}

// TestStrictServerOutOfDescriptors tells its client and its hook.
func TestStrictServerOutOfDescriptors(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	path := socketPath(t)
	child := startChild(t, "poor server", "shm", path, "2")
	expect(t, child.out, "listening\n")
	_, err := shmconn.Dial("shm", path)
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" || !strings.Contains(err.Error(), "no shared memory") {
		t.Errorf("error is %v, want one about shared memory", err)
	}
}

// TestOutOfMemory has no room for the mappings of a connection.
func TestOutOfMemory(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	l, path := listen(t, "unix", shmconn.ListenConfig{MaxRingSize: largeRing})
	serveEcho(t, l)
	for network, want := range map[string]string{"unix": "plain", "shm": "error: dial unix " + path + ": unusable offer: mmap: cannot allocate memory"} {
		c := startChild(t, "poor client", network, path, noMemory)
		if out, err := io.ReadAll(c.out); string(out) != want || err != nil {
			t.Errorf("client on %q: %s, %v; want %s", network, out, err, want)
		}
	}
	large := shmconn.Dialer{RingSize: largeRing}
	for network, want := range map[string]string{"unix": "plain", "shm": "server offers no shared memory"} {
		at := socketPath(t)
		s := startChild(t, "poor server", network, at, noMemory)
		expect(t, s.out, "listening\n")
		c, err := large.Dial(network, at)
		got := fmt.Sprint(err)
		if err == nil {
			got = kind(c)
			if err := exchange(c, "in plain words"); err != nil {
				t.Error(err)
			}
			c.Close()
		}
		if !strings.HasSuffix(got, want) {
			t.Errorf("server on %q: client comes to %s, want %s", network, got, want)
		}
	}
}
