//go:build amd64 || arm64

package shmconn_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/internal/sandbox"
	"github.com/shmconn/shmconn/shmconn"
)

// forbidden are the system calls by which a connection is set up, of which a
// process is denied one. What comes of it on network "unix", by who is denied:
//
//	plain   the socket
//	shared  shared memory: it goes without the call
//	error   an error; package net could not do without it either, or what the
//	        socket holds cannot be told
//	reset   an error of the client's first use: the server makes the call when
//	        the client has accepted
//	-       the call is not made
//
// On network "shm" an error takes the place of the socket.
var forbidden = []struct {
	rule           sandbox.Rule
	name           string
	client, server string
	errnos         []unix.Errno
}{
	{sandbox.Rule{Call: unix.SYS_MEMFD_CREATE}, "memfd_create", "-", "plain", nil},
	{sandbox.Rule{Call: unix.SYS_FTRUNCATE}, "ftruncate", "-", "plain", nil},
	{sandbox.Rule{Call: unix.SYS_FCNTL, Arg: 1, Mask: ^uint32(0), Value: unix.F_ADD_SEALS}, "fcntl to seal", "plain", "plain", nil},
	{sandbox.Rule{Call: unix.SYS_FCNTL, Arg: 1, Mask: ^uint32(0), Value: unix.F_GET_SEALS}, "fcntl to see seals", "plain", "reset", nil},
	{sandbox.Rule{Call: unix.SYS_FCNTL, Arg: 1, Mask: ^uint32(0), Value: unix.F_SETFL}, "fcntl to set flags", "plain", "reset", nil},
	{sandbox.Rule{Call: unix.SYS_FSTATFS}, "fstatfs", "plain", "reset", nil},
	{sandbox.Rule{Call: unix.SYS_FSTAT}, "fstat", "plain", "reset", nil},
	{sandbox.Rule{Call: unix.SYS_MMAP, Arg: 3, Mask: unix.MAP_SHARED, Value: unix.MAP_SHARED}, "mmap", "plain", "plain", []unix.Errno{unix.ENOMEM}},
	{sandbox.Rule{Call: unix.SYS_EVENTFD2}, "eventfd2", "-", "plain", []unix.Errno{unix.ENFILE}},
	{sandbox.Rule{Call: unix.SYS_SENDMSG}, "sendmsg", "-", "plain", []unix.Errno{unix.ETOOMANYREFS}},
	{sandbox.Rule{Call: unix.SYS_RECVMSG}, "recvmsg", "error", "error", nil},
	{sandbox.Rule{Call: unix.SYS_READLINKAT}, "readlinkat", "plain", "-", nil},
	{sandbox.Rule{Call: unix.SYS_EPOLL_CREATE1}, "epoll_create1", "plain", "reset", nil},
	{sandbox.Rule{Call: unix.SYS_EPOLL_CTL}, "epoll_ctl", "error", "error", []unix.Errno{unix.ENOSPC}},
	{sandbox.Rule{Call: unix.SYS_GETSOCKOPT, Arg: 2, Mask: ^uint32(0), Value: unix.SO_PEERCRED}, "getsockopt", "plain", "plain", nil},
	{sandbox.Rule{Call: unix.SYS_SETSOCKOPT}, "setsockopt", "shared", "shared", nil},
	{sandbox.Rule{Call: unix.SYS_BIND}, "bind", "plain", "-", nil},
	{sandbox.Rule{Call: unix.SYS_MADVISE}, "madvise", "shared", "shared", nil},
}

// The parts are registered before any init function runs them.
var _ = func() bool {
	children["sandboxed client"] = childSandboxedClient
	children["sandboxed server"] = childSandboxedServer
	return true
}()

// enterSandbox forbids the system call of args[0], an index, with args[1], an
// errno or "kill".
func enterSandbox(args []string) error {
	i, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	rule := forbidden[i].rule
	if rule.Kill = args[1] == "kill"; !rule.Kill {
		errno, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		rule.Errno = unix.Errno(errno)
	}
	return sandbox.Apply(rule)
}

// bare returns what the process has before it has dealt with a connection, and
// sees to it that the poller is there.
func bare() (footprint, error) {
	l, err := net.Listen("unix", "")
	if err != nil {
		return footprint{}, err
	}
	l.Close()
	return measure()
}

// leftovers describes what is left in comparison with before. What all
// connections share, a descriptor and its goroutine, may be.
func leftovers(before footprint) string {
	before.fds++
	before.routines++
	for end := time.Now().Add(patience / 2); ; time.Sleep(time.Millisecond) {
		after, err := measure()
		switch {
		case err != nil:
			return err.Error()
		case after.atMost(before):
			return "nothing"
		case time.Now().After(end):
			return fmt.Sprintf("%+v before, %+v after\n%s", before, after, strings.Join(stacks(), "\n\n"))
		}
	}
}

// childSandboxedClient dials args[3] on network args[2] without a system call,
// and says what came of it and what is left of that.
func childSandboxedClient(args []string) error {
	before, err := bare()
	if err != nil {
		return err
	}
	before.routines++
	go orphaned()
	if err := enterSandbox(args); err != nil {
		return err
	}
	start := time.Now()
	c, err := shmconn.Dial(args[2], args[3])
	took := time.Since(start)
	outcome := "error"
	if err == nil {
		outcome = kind(c)
		err = exchange(c, "without a system call")
		c.Close()
	}
	if took > 3*time.Second {
		err = fmt.Errorf("after %v: %w", took, err)
	}
	fmt.Printf("%s\n%s\n%v\n", outcome, leftovers(before), err)
	return nil
}

// childSandboxedServer listens on args[3] on network args[2], and serves
// without a system call until its standard input ends.
func childSandboxedServer(args []string) error {
	before, err := bare()
	if err != nil {
		return err
	}
	failures := make(chan error, 16)
	lc := shmconn.ListenConfig{RingSize: 4096, OnError: func(_ net.Conn, err error) { failures <- err }}
	l, err := lc.Listen(context.Background(), args[2], args[3])
	if err != nil {
		return err
	}
	if err := enterSandbox(args); err != nil {
		return err
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { echo(c) })
		}
	})
	fmt.Println("listening")
	io.Copy(io.Discard, os.Stdin)
	l.Close()
	serving.Wait()
	if len(failures) > 0 {
		err = <-failures
	}
	fmt.Printf("%s\n%v\n", leftovers(before), err)
	return nil
}

// lines reads n lines, of which the last may go on.
func lines(t *testing.T, r io.Reader, n int) []string {
	t.Helper()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	s := strings.SplitN(strings.TrimSuffix(string(out), "\n"), "\n", n)
	if len(s) < n {
		t.Fatalf("the process says no more than %q", out)
	}
	return s
}

// eachForbidden runs a test for every forbidden call that a role makes.
func eachForbidden(t *testing.T, role func(i int) string, test func(t *testing.T, i int, network, want, errno string)) {
	for i, f := range forbidden {
		want := role(i)
		if want == "-" {
			continue
		}
		for _, errno := range append([]unix.Errno{unix.EPERM, unix.ENOSYS}, f.errnos...) {
			for _, network := range []string{"unix", "shm"} {
				want := want
				if network == "shm" && want == "plain" {
					want = "error"
				}
				t.Run(fmt.Sprintf("%s, %v, %s", f.name, errno, network), func(t *testing.T) {
					test(t, i, network, want, strconv.Itoa(int(errno)))
				})
			}
		}
	}
}

// TestClientForbidden has clients that may not make one of the system calls
// they need talk over the socket, or say clearly why they cannot.
func TestClientForbidden(t *testing.T) {
	noLeaks(t)
	watchdog(t, 4*patience)
	l, path := listen(t, "unix", shmconn.ListenConfig{RingSize: 4096})
	serveEcho(t, l)
	role := func(i int) string { return forbidden[i].client }
	eachForbidden(t, role, func(t *testing.T, i int, network, want, errno string) {
		c := startChild(t, "sandboxed client", strconv.Itoa(i), errno, network, path)
		said := lines(t, c.out, 3)
		wantErr := "<nil>"
		if want == "error" {
			wantErr = "dial unix " + path + ": "
		}
		if said[0] != want || !strings.HasPrefix(said[2], wantErr) {
			t.Errorf("client comes to %q, %s; want %s, %s", said[0], said[2], want, wantErr)
		}
		if said[1] != "nothing" {
			t.Errorf("left: %s", said[1])
		}
	})
	if err := exchange(dial(t, "shm", path), "still there"); err != nil {
		t.Error(err)
	}
}

// TestServerForbidden does so with servers.
func TestServerForbidden(t *testing.T) {
	noLeaks(t)
	watchdog(t, 4*patience)
	role := func(i int) string { return forbidden[i].server }
	eachForbidden(t, role, func(t *testing.T, i int, network, want, errno string) {
		path := socketPath(t)
		s := startChild(t, "sandboxed server", strconv.Itoa(i), errno, network, path)
		expect(t, s.out, "listening\n")
		start := time.Now()
		c, err := shmconn.Dial(network, path)
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("dial takes %v", took)
		}
		got := "error"
		if err == nil {
			got = kind(c)
			err = exchange(c, "without a system call")
			c.Close()
			switch ended := errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) || err == io.EOF; {
			case got == "shared" && ended:
				got = "reset"
			case got == "plain" && ended:
				got = "error" // which package net does not tell from the server's close
			}
		}
		s.in.Close()
		said := lines(t, s.out, 2)
		if got != want || (want == "plain" || want == "shared") && err != nil {
			t.Errorf("client comes to %q, %v; want %s; server says %s", got, err, want, said[1])
		}
		if said[0] != "nothing" {
			t.Errorf("left: %s", said[0])
		}
	})
}

// TestKilledByCall has clients and servers die at each of these system calls.
func TestKilledByCall(t *testing.T) {
	noLeaks(t)
	watchdog(t, 4*patience)
	inner, path := listen(t, "shm", shmconn.ListenConfig{RingSize: 4096})
	serveEcho(t, inner)
	for i, f := range forbidden {
		died := func(t *testing.T, c *child) {
			t.Helper()
			io.Copy(io.Discard, c.out)
			c.Wait()
			if status, ok := c.ProcessState.Sys().(unix.WaitStatus); ok && (!status.Signaled() || status.Signal() != unix.SIGSYS) {
				t.Errorf("the process has not died of the call: %v", c.ProcessState)
			}
		}
		if f.client == "plain" || f.client == "error" {
			t.Run("client, "+f.name, func(t *testing.T) {
				died(t, startChild(t, "sandboxed client", strconv.Itoa(i), "kill", "shm", path))
				if err := exchange(dial(t, "shm", path), "still there"); err != nil {
					t.Error(err)
				}
			})
		}
		if f.server == "plain" || f.server == "reset" {
			t.Run("server, "+f.name, func(t *testing.T) {
				at := socketPath(t)
				s := startChild(t, "sandboxed server", strconv.Itoa(i), "kill", "shm", at)
				said, err := bufio.NewReader(s.out).ReadString('\n')
				if err == io.EOF { // died while it began to listen
					return
				}
				if err != nil || said != "listening\n" {
					t.Fatalf("server says %q, %v", said, err)
				}
				start := time.Now()
				c, err := shmconn.Dial("shm", at)
				if err == nil { // it died after it had told us everything
					gone(t, c)
					c.Close()
				}
				var op *net.OpError
				if err != nil && !errors.As(err, &op) {
					t.Errorf("error is %T %v", err, err)
				}
				died(t, s)
				if took := time.Since(start); took > 3*time.Second {
					t.Errorf("the death is noticed after %v", took)
				}
			})
		}
	}
}
