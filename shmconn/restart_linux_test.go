package shmconn_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/shmconn/shmconn/internal/wire"
	"github.com/shmconn/shmconn/shmconn"
)

// childRestartable is a server that answers each byte with the number of its
// generation. The first one listens on args[0]. On the line "restart" of
// standard input it hands its socket, and its input and output, to the next
// one, whose number is args[1]; on the end of input it closes its listener. It
// ends when its connections have ended.
func childRestartable(args []string) error {
	l, generation, err := childListener(args)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { answerWith(c, byte(generation)) })
		}
	})
	if _, err := io.ReadFull(os.Stdin, make([]byte, len("restart\n"))); err == nil {
		if err := startSuccessor(l, args[0], generation+1); err != nil {
			return err
		}
	}
	if err := l.Close(); err != nil {
		return err
	}
	wg.Wait()
	fmt.Println("over", generation)
	return nil
}

func answerWith(c net.Conn, b byte) {
	defer c.Close()
	for {
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			return
		}
		c.Write([]byte{b})
	}
}

// childListener makes the listener of a generation.
func childListener(args []string) (l net.Listener, generation int, err error) {
	if len(args) == 1 {
		l, err = shmconn.Listen("unix", args[0])
		fmt.Println("ready 0")
		return l, 0, err
	}
	generation, _ = strconv.Atoi(args[1])
	file := os.NewFile(3, "listener")
	defer file.Close()
	inner, err := net.FileListener(file)
	if err != nil {
		return nil, 0, err
	}
	l = shmconn.NewListener(inner, nil)
	// Package net does not count an inherited socket's file as one's own.
	l.(interface{ SetUnlinkOnClose(bool) }).SetUnlinkOnClose(true)
	fmt.Println("ready", generation)
	return l, generation, os.NewFile(4, "ready").Close()
}

// startSuccessor starts the next generation with l's socket, and returns when
// it accepts.
func startSuccessor(l net.Listener, path string, generation int) error {
	shared := l.(interface {
		File() (*os.File, error)
		SetUnlinkOnClose(bool)
	})
	file, err := shared.File()
	if err != nil {
		return err
	}
	defer file.Close()
	shared.SetUnlinkOnClose(false)
	ready, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(exe, path, strconv.Itoa(generation))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{file, w}
	err = cmd.Start()
	w.Close()
	if err == nil {
		_, err = io.Copy(io.Discard, ready)
	}
	return err
}

// TestGracefulRestart has a server hand its socket to a successor, several
// times, while clients connect all the time. None of them sees an error, be it
// in Dial or on the connection.
func TestGracefulRestart(t *testing.T) {
	watchdog(t, 4*patience)
	path := socketPath(t)
	server := startChild(t, "restartable", path)
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(server.out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	expect := func(want string) {
		t.Helper()
		select {
		case line, ok := <-lines:
			if line != want {
				t.Fatalf("server says %q (%t), want %q", line, ok, want)
			}
		case <-time.After(patience):
			t.Fatalf("server does not say %q", want)
		}
	}
	expect("ready 0")

	var stop atomic.Bool
	var latest, connections atomic.Int64
	var wg sync.WaitGroup
	for _, network := range []string{"shm", "unix", "shm", "plain"} {
		wg.Go(func() {
			for !stop.Load() {
				generation, err := askOnce(network, path)
				if err != nil {
					t.Errorf("%s: %v", network, err)
					return
				}
				latest.Store(int64(generation))
				connections.Add(1)
			}
		})
	}
	defer wg.Wait()
	defer stop.Store(true)

	const generations = 5
	for g := range generations - 1 {
		// A connection that outlives its generation's listener.
		old := dial(t, "shm", path)
		if got, err := ask(old); got != g || err != nil {
			t.Fatalf("generation %d answers, %v, want %d", got, err, g)
		}
		if _, err := io.WriteString(server.in, "restart\n"); err != nil {
			t.Fatal(err)
		}
		expect(fmt.Sprint("ready ", g+1))
		eventually(t, "next generation answers", func() bool { return latest.Load() == int64(g+1) })
		if got, err := ask(old); got != g || err != nil {
			t.Errorf("generation %d answers on an old connection, %v, want %d", got, err, g)
		}
		old.Close()
		expect(fmt.Sprint("over ", g))
		if _, err := os.Stat(path); err != nil {
			t.Errorf("socket file after the end of generation %d: %v", g, err)
		}
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("%d connections", connections.Load())

	server.in.Close()
	expect(fmt.Sprint("over ", generations-1))
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("socket file after the last generation's end: %v", err)
	}
}

// askOnce connects and asks twice.
func askOnce(network, path string) (generation int, err error) {
	c, err := dialAs(network, path)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if _, err := ask(c); err != nil {
		return 0, err
	}
	return ask(c)
}

// ask returns the generation of the server at the other end.
func ask(c net.Conn) (generation int, err error) {
	c.SetDeadline(time.Now().Add(patience))
	b := []byte{'?'}
	if _, err := c.Write(b); err != nil {
		return 0, err
	}
	_, err = io.ReadFull(c, b)
	return int(b[0]), err
}

// TestSharingOthers checks what the listener says of sockets that are no unix
// sockets, and of inner listeners that have none.
func TestSharingOthers(t *testing.T) {
	noLeaks(t)
	type sharer interface {
		File() (*os.File, error)
		SetUnlinkOnClose(bool)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := shmconn.NewListener(tcp, nil)
	defer l.Close()
	file, err := l.(sharer).File()
	if err != nil {
		t.Error(err)
	}
	file.Close()
	l.(sharer).SetUnlinkOnClose(true) // has no file, which is fine

	l = shmconn.NewListener(struct{ net.Listener }{tcp}, nil)
	defer l.Close()
	_, err = l.(sharer).File()
	var op *net.OpError
	if !errors.As(err, &op) || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("File of a listener that has none: %v", err)
	}
}

// TestCloseSharedSocket closes listeners with a client in mid-handshake. It is
// served if the socket is shared, since nobody else can serve it then, and not
// if it is not. Whoever passed an inherited socket on may still have it.
func TestCloseSharedSocket(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	lc := shmconn.ListenConfig{HandshakeTimeout: time.Hour} // Close alone ends a handshake
	for name, open := range map[string]func(t testing.TB) (l net.Listener, path string){
		"not shared": func(t testing.TB) (net.Listener, string) {
			return listen(t, "unix", lc)
		},
		"inherited": func(t testing.TB) (net.Listener, string) {
			path := socketPath(t)
			inner, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			return shmconn.NewListener(inner, &lc), path
		},
		"File": func(t testing.TB) (net.Listener, string) {
			l, path := listen(t, "unix", lc)
			file, err := l.(interface{ File() (*os.File, error) }).File()
			if err != nil {
				t.Fatal(err)
			}
			file.Close()
			return l, path
		},
		"SyscallConn": func(t testing.TB) (net.Listener, string) {
			l, path := listen(t, "unix", lc)
			if _, err := l.(syscall.Conn).SyscallConn(); err != nil {
				t.Fatal(err)
			}
			return l, path
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, path := open(t)
			defer l.Close()
			sock := rawDial(t, path)
			receive(t, sock, wire.Greeting)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if name == "not shared" {
				ended(t, sock)
			} else {
				send(t, sock, frame(wire.Hello, wire.OK, 4096, 4096))
				receive(t, sock, wire.Offer)
				takeMemoryFrame(t, sock)
				send(t, sock, frame(wire.Accept, wire.Plain, 0, 0))
				c, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				c.Close()
			}
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept: %v", err)
			}
		})
	}
}
