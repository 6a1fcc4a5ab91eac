package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/shmconn/shmconn/shmconn"
)

var doctorCommand = &command{
	name:  "doctor",
	brief: "check whether this machine can share memory, and say what to do",
	help: `
Checks, here and as this user, everything that a connection over shared memory
needs: what the kernel offers and what policies, limits and containers leave of
it. The last check is a real connection. The exit code is 0 if that works and 1
if not. Each line begins with

  ok     fine
  note   works, and there is something to know
  BAD    keeps shared memory from working, or from being safe`,
	run: runDoctor,
}

// finding is what has come of a check.
type finding struct {
	rank   rank
	text   string
	advice string // what to do, for a finding that is not ok
}

type rank int

const (
	ok rank = iota
	note
	bad
)

func (r rank) String() string { return [...]string{"ok", "note", "BAD"}[r] }

// check looks at one thing.
type check struct {
	name string
	run  func() finding
}

func runDoctor(c *command, args []string) error {
	if err := c.parse(c.flags(), args, 0, 0); err != nil {
		return err
	}
	reason := ""
	for _, check := range systemChecks() {
		f := check.run()
		printFinding(check.name, f)
		if f.rank == bad && reason == "" {
			reason = check.name + ": " + f.text
		}
	}
	err := loopback()
	if err != nil {
		printFinding("connection", finding{bad, err.Error(), ""})
		if reason == "" {
			reason = err.Error()
		}
		fmt.Println()
		return fmt.Errorf("shared memory does not work here: %s", reason)
	}
	printFinding("connection", finding{text: "1 MiB went through shared memory and back"})
	if reason != "" {
		fmt.Printf("\nShared memory works, but is not safe to use here: %s.\n", reason)
		return nil
	}
	fmt.Println("\nShared memory works.")
	return nil
}

func printFinding(name string, f finding) {
	const indent = "                    "
	fmt.Printf("%-5v %-13s %s\n", f.rank, name, f.text)
	if f.advice != "" {
		fmt.Println(indent + "-> " + strings.ReplaceAll(f.advice, "\n", "\n"+indent+"   "))
	}
}

// loopback sends some data through a connection over shared memory and back.
func loopback() error {
	const patience = 10 * time.Second
	// An address that the kernel chooses, where it has such, needs no directory.
	l, err := shmconn.Listen("shm", "")
	if err != nil {
		return err
	}
	defer l.Close()
	l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(patience))
	served := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			c.SetDeadline(time.Now().Add(patience))
			_, err = io.Copy(c, c)
			err = errors.Join(err, c.Close())
		}
		served <- err
	}()

	var d shmconn.Dialer
	d.NetDialer.Timeout = patience
	c, err := d.Dial("shm", l.Addr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	data := make([]byte, 1<<20)
	rand.Read(data)
	go func() {
		c.Write(data)
		c.(*shmconn.Conn).CloseWrite()
	}()
	back, err := io.ReadAll(c)
	if err := errors.Join(err, <-served); err != nil {
		return err
	}
	if !bytes.Equal(back, data) {
		return errors.New("other bytes came back than were sent")
	}
	return nil
}

// errorText returns err without what says which file or call it is about.
func errorText(err error) string {
	var call *os.SyscallError
	if errors.As(err, &call) {
		return call.Error()
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}
