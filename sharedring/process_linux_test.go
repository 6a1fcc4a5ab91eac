package sharedring

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	items   = flag.Uint64("items", 10e6, "exchange so many items between processes")
	foreign = flag.String("foreign", "", "also exchange items with this `program`, an end in another language that does what testdata/peer.c does")
)

// peerEnv makes the test binary be the peer, with the arguments of peer.c.
const peerEnv = "SHAREDRING_TEST_PEER"

func TestMain(m *testing.M) {
	if peer := os.Getenv(peerEnv); peer != "" {
		if err := runPeer(os.Args[1:]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func runPeer(args []string) error {
	capacity, _ := strconv.Atoi(args[1])
	total, _ := strconv.ParseUint(args[2], 10, 64)
	size := 8
	if len(args) > 3 {
		size, _ = strconv.Atoi(args[3])
	}
	files := [3]*os.File{os.NewFile(3, "memory"), os.NewFile(4, "empty"), os.NewFile(5, "full")}
	e, err := newEnd("open", arrayType(size), capacity, &files, args[0] == "send", nil)
	if err != nil {
		return err
	}
	defer e.close()
	return transfer(e, args[0] == "send", total, patience)
}

// arrayType is [size]byte, which has no name at run time.
func arrayType(size int) reflect.Type { return reflect.ArrayOf(size, reflect.TypeFor[byte]()) }

// fillItem makes item i, as peer.c does.
func fillItem(p []byte, i uint64) {
	const golden = 0x9e3779b97f4a7c15
	for k := uint64(0); len(p) > 0; k++ {
		var word [8]byte
		binary.NativeEndian.PutUint64(word[:], (i+k<<40)*golden)
		p = p[copy(p, word[:]):]
	}
}

// transfer sends or receives and verifies total items.
func transfer(e *end, sends bool, total uint64, limit time.Duration) error {
	const batch = 700 // not that of peer.c
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	buf, want := make([]byte, batch*e.size), make([]byte, e.size)
	for i := uint64(0); i < total; {
		n := int(min(batch, total-i))
		var err error
		if sends {
			for j := range n {
				fillItem(buf[j*e.size:][:e.size], i+uint64(j))
			}
			n, err = e.send(ctx, buf[:n*e.size])
		} else {
			n, err = e.receive(ctx, buf[:n*e.size])
		}
		if err != nil {
			return fmt.Errorf("at item %d: %w", i, err)
		}
		for j := 0; j < n && !sends; j++ {
			if fillItem(want, i+uint64(j)); string(want) != string(buf[j*e.size:][:e.size]) {
				return fmt.Errorf("item %d is wrong", i+uint64(j))
			}
		}
		i += uint64(n)
	}
	return nil
}

// exchange has a program move items to or from an end of this process.
func exchange(t *testing.T, program string, sends bool, size, capacity int, total uint64) {
	t.Helper()
	checkLeaks(t)
	limit := patience
	if total > 20e6 {
		limit *= 10
	}
	e, err := newEnd("new", arrayType(size), capacity, nil, sends, nil)
	if err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, closerFunc(e.close))
	role := map[bool]string{true: "receive", false: "send"}[sends]
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	args := []string{role, strconv.Itoa(capacity), strconv.FormatUint(total, 10)}
	if size != 8 {
		args = append(args, strconv.Itoa(size))
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.ExtraFiles = []*os.File{e.memfd, e.empty, e.full}
	cmd.Env = append(os.Environ(), peerEnv+"=1")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	err = transfer(e, sends, total, limit)
	if err != nil {
		cancel()
	}
	if err := errors.Join(err, cmd.Wait()); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if total >= 1e6 {
		t.Logf("%.1f million items of %d bytes a second", float64(total)/1e6/time.Since(start).Seconds(), size)
	}
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }

// self is this test binary, which is a Go peer in a process of its own.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// compilePeer compiles the C end, with all warnings being errors.
func compilePeer(t *testing.T) string {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler: install one, such as the package gcc")
	}
	out := filepath.Join(t.TempDir(), "peer")
	text, err := exec.CommandContext(t.Context(), cc, "-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror",
		"-o", out, filepath.Join("testdata", "peer.c")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

func volume() uint64 {
	if testing.Short() {
		return 1e6
	}
	return *items
}

func both(t *testing.T, f func(t *testing.T, sends bool)) {
	t.Run("send", func(t *testing.T) { f(t, true) })
	t.Run("receive", func(t *testing.T) { f(t, false) })
}

func TestTwoProcesses(t *testing.T) {
	program := self(t)
	both(t, func(t *testing.T, sends bool) {
		exchange(t, program, sends, 8, 10_000, volume())
		// So small that the ends wait for each other all the time.
		exchange(t, program, sends, 1000, 3, 20_000)
	})
}

func TestC(t *testing.T) { exchangeWith(t, compilePeer(t)) }

// TestForeign is TestC for an end in any other language.
func TestForeign(t *testing.T) {
	if *foreign == "" {
		t.Skip("no program: name one with -foreign")
	}
	exchangeWith(t, *foreign)
}

// exchangeWith tries a program that does what testdata/peer.c does in both roles,
// with queues that this end makes and with queues that the program makes.
func exchangeWith(t *testing.T, program string) {
	other := self(t)
	both(t, func(t *testing.T, sends bool) {
		exchange(t, program, sends, 8, 10_000, volume())
		for _, size := range []int{1, 2, 3, 4, 8, 24, 63, 64, 65, 1000, 4032, 4033, 4096} {
			exchange(t, program, sends, size, 5, 2000)
			exchange(t, program, sends, size, 1, 1000)
		}
	})
	made := func(t *testing.T, sends bool) {
		role := map[bool]string{true: "receive", false: "send"}[sends]
		for _, size := range []int{1, 3, 8, 24, 4096} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			total := strconv.Itoa(1000 + 100_000/size)
			cmd := exec.CommandContext(ctx, program, role, "100", total, strconv.Itoa(size), other)
			cmd.Env = append(os.Environ(), peerEnv+"=1")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("items of %d bytes: %v\n%s", size, err, out)
			}
		}
	}
	t.Run("made by the program", func(t *testing.T) { both(t, made) })
}
