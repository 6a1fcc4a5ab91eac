// Etcd is gRPC with backends on this machine and on others, found through etcd
// and taken in turns. The client's code knows one target; those of its backends
// that live here are reached through shared memory.
//
//	go run ./examples/etcd
//
// It runs etcd, some backends and a client. One backend stays on "another
// machine", for which TCP on the loopback interface has to do. While requests go
// on, a backend is killed and another one joins. In the end it says how many
// requests went which way, as both ends have counted them.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	backend := flag.String("backend", "", "be the backend of this name")
	dir := flag.String("dir", "", "directory of sockets that a backend on this machine listens in")
	etcd := flag.String("etcd", "", "address of etcd that a backend registers with")
	duration := flag.Duration("for", 6*time.Second, "how long requests are made")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *backend != "" {
		err = runBackend(ctx, *backend, *etcd, *dir)
	} else {
		var shares []share
		if shares, err = run(ctx, *duration); err == nil {
			err = report(os.Stdout, shares)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		os.Exit(1)
	}
}

// share is how many requests a backend has answered, by what carried them.
type share struct {
	backend string
	local   bool // it listens for shared memory
	killed  bool
	shared  int
	tcp     int
}

// report writes the shares, and where they belong.
func report(w io.Writer, shares []share) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "backend\tlives\tby shared memory\tby TCP")
	shared, tcp := 0, 0
	for _, s := range shares {
		where := "on another machine"
		if s.local {
			where = "here"
		}
		if s.killed {
			where += ", until it was killed"
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\n", s.backend, where, s.shared, s.tcp)
		shared += s.shared
		tcp += s.tcp
	}
	fmt.Fprintf(t, "all\t\t%d (%.0f %%)\t%d (%.0f %%)\n", shared, percent(shared, shared+tcp), tcp, percent(tcp, shared+tcp))
	return t.Flush()
}

func percent(n, of int) float64 { return 100 * float64(n) / float64(max(of, 1)) }
