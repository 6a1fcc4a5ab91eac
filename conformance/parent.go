package conformance

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

var errChildGone = errors.New("conformance: the child process is gone")

// A child is the parent's handle on the other process. Its methods may be called from several
// goroutines.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	dead  chan struct{} // closed when the process was waited for
	log   lockedBuffer  // its standard error

	// One of these, by who dials.
	dials    bool
	listener uint64       // in the child
	inner    net.Listener // here
	path     string
	dial     func(string) (net.Conn, error)
	meet     sync.Mutex // held while a connection is made: ends are matched by their order

	out sender

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan<- reply // nil when the child is gone
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startChild starts a child that lives until the test ends and must then end in good order.
func startChild(t *testing.T, tr Transport, dials bool) *child {
	t.Helper()
	c, err := newChild(tr, dials)
	if err != nil {
		t.Fatalf("start the child process: %v", err)
	}
	t.Cleanup(func() {
		c.close()
		if !c.cmd.ProcessState.Success() {
			t.Errorf("child process: %v\n%s", c.cmd.ProcessState, c.log.String())
		} else if s := c.log.String(); s != "" {
			t.Logf("child process:\n%s", s)
		}
	})
	return c
}

func newChild(tr Transport, dials bool) (_ *child, err error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := socketDir()
	if err != nil {
		return nil, err
	}
	c := &child{
		dead:    make(chan struct{}),
		dials:   dials,
		path:    filepath.Join(dir, "s"),
		dial:    tr.Dial,
		waiting: make(map[uint64]chan<- reply),
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	c.cmd = exec.Command(exe)
	// GOMAXPROCS is passed on because the -cpu flag sets it for this process only. The race
	// detector sleeps a second before the process exits unless told otherwise.
	c.cmd.Env = append(os.Environ(), childEnv+"="+tr.Name, "GOTRACEBACK=all",
		fmt.Sprint("GOMAXPROCS=", runtime.GOMAXPROCS(0)),
		"GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=10")
	c.cmd.Stderr = &c.log
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.stdin, c.out.w = stdin, stdin
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go c.receive(stdout)
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if dials {
		c.inner, err = tr.Listen(c.path)
		return c, err
	}
	p, err := c.call(request{Op: "listen", Path: c.path})
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, c.log.String())
	}
	c.listener = p.Conn
	return c, p.Err.unpack()
}

// receive hands out replies until the child is gone.
func (c *child) receive(r io.Reader) {
	in := bufio.NewReader(r)
	for {
		var p reply
		if err := receiveMessage(in, &p); err != nil {
			if err != io.EOF {
				fmt.Fprintf(&c.log, "conformance: reply: %v\n", err)
				c.cmd.Process.Kill()
			}
			break
		}
		c.mu.Lock()
		ch := c.waiting[p.ID]
		delete(c.waiting, p.ID)
		c.mu.Unlock()
		ch <- p
	}
	c.mu.Lock()
	for _, ch := range c.waiting {
		close(ch)
	}
	c.waiting = nil
	c.mu.Unlock()
	c.cmd.Wait()
	close(c.dead)
}

// call has the child do something and waits for it. The error is about the child, not what it did.
func (c *child) call(q request) (reply, error) {
	ch := make(chan reply, 1)
	c.mu.Lock()
	if c.waiting == nil {
		c.mu.Unlock()
		return reply{}, errChildGone
	}
	c.last++
	q.ID = c.last
	c.waiting[q.ID] = ch
	c.mu.Unlock()
	err := c.out.send(&q)
	if err != nil {
		return reply{}, fmt.Errorf("%w: %v", errChildGone, err)
	}
	p, ok := <-ch
	if !ok {
		return reply{}, errChildGone
	}
	return p, nil
}

// connect makes a connection between the two processes.
func (c *child) connect() (near duplex, far peer, stop func(), err error) {
	c.meet.Lock()
	defer c.meet.Unlock()
	ours := func() (net.Conn, error) { return c.dial(c.path) }
	theirs := request{Op: "accept", Conn: c.listener}
	if c.dials {
		ours, theirs = c.inner.Accept, request{Op: "dial", Path: c.path}
	}
	answered := make(chan error, 1)
	var p reply
	go func() {
		var err error
		if p, err = c.call(theirs); err == nil {
			err = p.Err.unpack()
		}
		if err != nil && c.dials {
			c.inner.Close() // nobody comes to be accepted
		}
		answered <- err
	}()
	conn, err := ours()
	if err != nil {
		if !c.dials {
			c.call(request{Op: "close", Conn: c.listener})
		}
		return nil, nil, nil, errors.Join(err, <-answered)
	}
	if err := <-answered; err != nil {
		conn.Close()
		return nil, nil, nil, err
	}
	r := &remote{child: c, id: p.Conn}
	stop = func() {
		conn.Close()
		c.call(request{Op: "drop", Conn: r.id})
	}
	near, ok := conn.(duplex)
	if !ok {
		stop()
		return nil, nil, nil, fmt.Errorf("%T: CloseRead or CloseWrite missing", conn)
	}
	return near, r, stop, nil
}

// close ends the child in good order if it still lives, by force if it does not obey.
func (c *child) close() {
	if c.inner != nil {
		c.inner.Close()
	}
	c.stdin.Close()
	timer := time.AfterFunc(patience, func() { c.cmd.Process.Kill() })
	defer timer.Stop()
	<-c.dead
	os.RemoveAll(filepath.Dir(c.path))
}

// kill ends the child as kill -9 does and returns when it is gone.
func (c *child) kill() {
	c.cmd.Process.Kill()
	<-c.dead
}

// exit has the child end without closing anything.
func (c *child) exit() {
	c.call(request{Op: "exit"})
	<-c.dead
}

// quit has the child print its stacks and die.
func (c *child) quit() { c.cmd.Process.Signal(syscall.SIGQUIT) }
