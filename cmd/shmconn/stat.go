package main

import (
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"
)

var statCommand = &command{
	name:     "stat",
	operands: "SOCKET",
	brief:    "what a listener is carrying",
	help: `
Shows which processes listen at the socket, a path or an abstract address such as
@name, how many connections they have, and for each one over shared memory how
many bytes have been sent and received. It asks the kernel, not the server, which
need not know: any server of the library will do, the proxy among them.

Processes of other users are shown to root only. What is over shared memory is
that of all listeners of a process, as the memory does not say which it is of.

Example:
  shmconn stat /run/app/app.sock`,
	run: runStat,
}

// listening is what there is to say of a socket.
type listening struct {
	Socket    string        `json:"socket"`
	Processes []statProcess `json:"processes"`
}

// statProcess is a process that listens, or has a connection that was made to its socket.
type statProcess struct {
	PID         int      `json:"pid"`
	Name        string   `json:"name"`
	Listens     bool     `json:"listens"`
	Connections int      `json:"connections"` // to this socket, over shared memory or not
	Shared      []shared `json:"shared"`      // of all its sockets
}

// shared is a connection over shared memory.
type shared struct {
	RingToClient int64   `json:"ring_to_client"` // bytes
	Sent         *uint64 `json:"sent"`           // bytes, nil if they cannot be seen
	Received     *uint64 `json:"received"`
}

func runStat(c *command, args []string) error {
	flags := c.flags()
	asJSON := flags.Bool("json", false, "print JSON")
	if err := c.parse(flags, args, 1, 1); err != nil {
		return err
	}
	found, err := inspect(flags.Arg(0))
	if err != nil {
		return err
	}
	if *asJSON {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		return out.Encode(found)
	}
	for _, p := range found.Processes {
		doing := "has connections to"
		if p.Listens {
			doing = "listens at"
		}
		fmt.Printf("process %d (%s) %s %s: %d connections, %d over shared memory\n",
			p.PID, p.Name, doing, found.Socket, p.Connections, len(p.Shared))
		if len(p.Shared) == 0 {
			continue
		}
		t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "ring to client\tsent\treceived\t")
		for _, s := range p.Shared {
			fmt.Fprintf(t, "%d\t%s\t%s\t\n", s.RingToClient, count(s.Sent), count(s.Received))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func count(n *uint64) string {
	if n == nil {
		return "?"
	}
	return fmt.Sprint(*n)
}
