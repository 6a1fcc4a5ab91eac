// Command quickstart serves a directory tree over HTTP from one process and fetches it from
// another, first over a plain unix socket, then over shared memory, and checks every byte.
//
//	go run ./examples/quickstart             # the Go toolchain's own source tree
//	go run ./examples/quickstart -dir /srv   # another one
//
// The parent hashes all regular files below the directory, starts itself once more as the server
// (serve.go), and fetches each file twice with a standard http.Client (fetch.go). Server and client
// are those of net/http, unmodified: the server's listener comes from shmconn.Listen, the client's
// connections from shmconn.Dialer, and that is all there is to change in a program of your own.
// Plain clients keep working on the same socket, as the first pass shows.
//
// The exit code is 0 only if every file arrived as it is on disk, both times, and the second time
// on shared memory. On systems other than Linux there is only the first pass.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/shmconn/shmconn/shmconn"
)

func main() {
	dir := flag.String("dir", "", "directory tree to serve (default: the source tree of the Go toolchain)")
	workers := flag.Int("c", 4, "number of `connections`, each with one request at a time")
	socket := flag.String("serve", "", "only serve -dir on this unix `socket`, until standard input ends (what the child does)")
	flag.Parse()

	// Ctrl-C reaches the server too, as both are in the terminal's foreground process group. The
	// server leaves it to the client, which takes it down in an orderly way.
	var err error
	if *socket != "" {
		signal.Ignore(os.Interrupt)
		err = serve(*socket, *dir)
	} else {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = run(ctx, *dir, *workers)
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run is the parent: it knows what is on disk, starts the server and fetches the tree twice.
func run(ctx context.Context, dir string, workers int) error {
	if workers < 1 {
		return fmt.Errorf("-c %d: at least one connection is needed", workers)
	}
	if dir == "" {
		var err error
		if dir, err = toolchainSource(ctx); err != nil {
			return err
		}
	}

	// Hashing also brings the files into the page cache, so that neither pass waits for a disk.
	t, err := readTree(ctx, dir)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d files, %.1f MB%s\n", dir, len(t.files), megabytes(t.bytes), t.skipped())

	// A directory that only this user can enter. Its path is short: unix socket addresses end at
	// about 100 bytes.
	tmp, err := os.MkdirTemp("", "quickstart-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	socket := filepath.Join(tmp, "http.sock")

	stop, err := startServer(ctx, socket, dir)
	if err != nil {
		return err
	}
	defer stop()

	for _, p := range passes(socket) {
		if err := p.fetch(ctx, t, workers); err != nil {
			return err
		}
	}
	if runtime.GOOS != "linux" {
		fmt.Printf("%s is not supported on %s\n", sharedMemory, runtime.GOOS)
	}
	return stop()
}

// passes returns how the tree is fetched, in order. All passes speak to the same server on the same
// socket: only the dialer differs.
func passes(socket string) []pass {
	plain := pass{carrier: unixSocket, dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	// "shm" insists on shared memory. A program that would rather have a plain socket than an error
	// dials "unix".
	shared := pass{carrier: sharedMemory, dial: func(ctx context.Context) (net.Conn, error) {
		return new(shmconn.Dialer).DialContext(ctx, "shm", socket)
	}}
	if runtime.GOOS != "linux" {
		return []pass{plain}
	}
	return []pass{plain, shared}
}

// What can carry a connection.
const (
	unixSocket   = "unix socket"
	sharedMemory = "shared memory"
)

// carrierOf names what carries c: a connection is on shared memory exactly when it is a
// *shmconn.Conn.
func carrierOf(c net.Conn) string {
	if _, ok := c.(*shmconn.Conn); ok {
		return sharedMemory
	}
	return unixSocket
}

// toolchainSource returns the directory of the standard library's source, which every machine that
// runs this program with go run has.
func toolchainSource(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w; name a directory with -dir", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "src"), nil
}

func megabytes(n int64) float64 { return float64(n) / 1e6 }
