package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/shmconn/shmconn/shmconn"
)

// carrierHeader tells the client what carries its connection as the server sees it.
const carrierHeader = "Quickstart-Carrier"

// carrierKey is the context key under which the server keeps a connection's carrier.
type carrierKey struct{}

// shutdownTime bounds how long the server waits for requests in flight once it is told to stop.
const shutdownTime = 3 * time.Second

// serve is the child: a file server for dir on socket. It says "ready" on standard output once it
// listens, and stops when standard input ends, so that it does not outlive its parent however that
// one ends.
func serve(socket, dir string) error {
	// A Root follows symbolic links only as long as they stay inside the tree.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()

	// The one line that differs from a server on net.Listen.
	listener, err := shmconn.Listen("unix", socket)
	if err != nil {
		return err
	}

	files := http.FileServerFS(root.FS())
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(carrierHeader, r.Context().Value(carrierKey{}).(string))
			files.ServeHTTP(w, r)
		}),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, carrierKey{}, carrierOf(c))
		},
	}

	stopped := make(chan error, 1)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
		defer cancel()
		stopped <- server.Shutdown(ctx)
	}()

	fmt.Println("ready")
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped // Serve returns at the start of Shutdown, not at its end.
}

// startServer starts this program once more as the server of dir on socket and returns when it
// listens. The server ends when stop is called, when ctx is done or when this process is gone. stop
// waits for the end and reports it; calling it again returns the same.
func startServer(ctx context.Context, socket, dir string) (stop func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, self, "-serve", socket, "-dir", dir)
	cmd.Stderr = os.Stderr
	dieWithParent(cmd)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	// To cancel is to ask by the end of standard input. A server that has not stopped some time
	// after that is killed.
	cmd.Cancel = stdin.Close
	cmd.WaitDelay = 2 * shutdownTime
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	stop = sync.OnceValue(func() error {
		cancel()
		if err := cmd.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("server: %w", err)
		}
		return nil
	})

	// A server that ends before it listens has said why on standard error.
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		return nil, errors.Join(fmt.Errorf("the server did not start (said %q, %v)", line, err), stop())
	}
	return stop, nil
}
