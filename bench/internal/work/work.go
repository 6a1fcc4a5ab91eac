// Package work holds the workloads of the benchmark: what is done over a
// connection, how often, and how every byte of it is verified. It knows
// connections as net.Conn only, and nothing of processes or of what the
// connections are made of.
package work

import (
	"fmt"
	"net"
	"strings"
	"time"
)

// A Dial opens one more connection to the server.
type Dial func() (net.Conn, error)

// A Workload is one piece of work between a client and a server.
//
// A value is stateless; the server's state is in the Server, the client's in
// the Client.
type Workload interface {
	// Name says what the workload is, such as "pingpong/64B". It is unique.
	Name() string

	// Op says in a word or two what one operation is.
	Op() string

	// Payload is how many bytes of payload one operation moves one way, in
	// the direction that counts for throughput; 0 where throughput says
	// nothing.
	Payload() int

	// Serve serves until the Server is closed. It owns ln.
	Serve(ln net.Listener) Server

	// Open makes the connections and everything that is not measured.
	Open(dial Dial) (Client, error)
}

// A Client does the operations of a workload.
type Client interface {
	// Run does operations for about d and returns how many, all of them
	// complete and verified by the end that received them. Latencies go to
	// lat, which is for this call alone.
	Run(d time.Duration, lat *Latency) (ops int64, err error)

	// Close closes the connections.
	Close() error
}

// A Server is the other end of a Client.
type Server interface {
	// Close stops serving and returns the first verification error that the
	// server has seen.
	Close() error
}

// Kinds of workload that the runner treats in a way of their own.
const (
	// KindIdle names workloads whose operations are idle connections: what
	// counts is memory, and processor time while nothing happens.
	KindIdle = "idle"
	// KindDial names workloads that open a connection for each operation.
	KindDial = "dial"
)

// Kind returns the first part of a workload's name.
func Kind(name string) string {
	kind, _, _ := strings.Cut(name, "/")
	return kind
}

// Sizes of the default catalogue, in bytes.
var (
	pingPongSizes = []int{8, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}
	streamSizes   = []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 8 << 20}
	requestSizes  = []int{64, 64 << 10}
	callerCounts  = []int{1, 16}
)

// Numbers of connections of the workloads with many.
const (
	busyConns = 256
	idleConns = 1000
)

// All returns every workload, in the order of the report.
func All() []Workload {
	var all []Workload
	for _, size := range pingPongSizes {
		all = append(all, PingPong{Size: size, Conns: 1})
	}
	for _, size := range streamSizes {
		all = append(all, Stream{Size: size})
	}
	for _, callers := range callerCounts {
		for _, size := range requestSizes {
			all = append(all, HTTP{Size: size, Callers: callers})
		}
	}
	for _, streaming := range []bool{false, true} {
		for _, callers := range callerCounts {
			for _, size := range requestSizes {
				all = append(all, GRPC{Size: size, Callers: callers, Streaming: streaming})
			}
		}
	}
	return append(all, DialEcho{}, PingPong{Size: 64, Conns: busyConns}, Idle{Conns: idleConns})
}

// ByName returns the workload with the given name.
func ByName(name string) (Workload, error) {
	for _, w := range All() {
		if w.Name() == name {
			return w, nil
		}
	}
	return nil, fmt.Errorf("no workload %q", name)
}

// SizeString writes a number of bytes in the unit that divides it.
func SizeString(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%dMiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%dKiB", n>>10)
	}
	return fmt.Sprintf("%dB", n)
}
