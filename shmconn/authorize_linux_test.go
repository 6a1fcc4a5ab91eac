package shmconn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/shmconn/shmconn/internal/wire"
	"github.com/shmconn/shmconn/shmconn"
)

// childStranger connects to args[0] in every way, and says what it gets.
func childStranger(args []string) error {
	for _, network := range []string{"shm", "unix"} {
		c, err := shmconn.Dial(network, args[0])
		if err == nil {
			err = exchange(c, "let me in")
		}
		fmt.Println(network, err != nil)
	}
	c, err := net.Dial("unix", args[0])
	if err != nil {
		return err
	}
	b, err := io.ReadAll(c)
	fmt.Println("socket", len(b), err)
	return nil
}

// TestStranger: processes of another user connect to an abstract address, which
// nothing keeps them from, and get not a byte.
func TestStranger(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	failures := make(chan error, 3)
	l, address := listenToAll(t, "unix", shmconn.ListenConfig{
		RingSize:  4096,
		Authorize: shmconn.SameUID,
		OnError:   func(_ net.Conn, err error) { failures <- err },
	})
	serveEcho(t, l)
	c := startStranger(t, 54321, "stranger", address)
	expect(t, c.out, "shm true\nunix true\nsocket 0 <nil>\n")
	for range 3 {
		if err := <-failures; !strings.Contains(err.Error(), "uid 54321, not 0") {
			t.Errorf("OnError is told of %v", err)
		}
	}
	if err := exchange(dial(t, "shm", address), "hello, server"); err != nil {
		t.Error(err)
	}
}

// TestAuthorize turns clients of both kinds away before they are told anything,
// and lets them in.
func TestAuthorize(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	own := shmconn.Credentials{PID: int32(os.Getpid()), UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	for _, network := range []string{"unix", "shm"} {
		t.Run(network, func(t *testing.T) {
			verdicts := make(chan error, 1)
			failures := make(chan error, 1)
			l, path := listen(t, network, shmconn.ListenConfig{
				RingSize: 4096,
				Authorize: func(c shmconn.Credentials) error {
					if c != own {
						t.Errorf("credentials are %+v, want %+v", c, own)
					}
					return <-verdicts
				},
				OnError: func(_ net.Conn, err error) { failures <- err },
			})
			reason := errors.New("too early in the morning")
			plain := func() net.Conn { return unixClient(t, path) }
			marked := func() net.Conn { return rawDial(t, path) }
			for _, client := range []func() net.Conn{plain, marked} {
				c := client()
				verdicts <- reason
				// Nothing is said before the verdict.
				if b, err := io.ReadAll(c); len(b) > 0 || err != nil {
					t.Errorf("client reads %q, %v", b, err)
				}
				if err := <-failures; !errors.Is(err, reason) {
					t.Errorf("OnError is told of %v", err)
				}
			}
			verdicts <- nil
			dial(t, "shm", path)
			accept(t, l) // the first: no refusal was an error
			wantStats(t, l, shmconn.ListenerStats{Accepted: 3, Refused: 2, Shared: 1, Conns: 1, Memory: memoryOf(4096)})
			if network == "unix" {
				plain()
				verdicts <- nil
				accept(t, l)
			}
		})
	}
}

// unixClient connects as a client that knows nothing of shared memory.
func unixClient(t testing.TB, path string) *net.UnixConn {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*net.UnixConn)
}

// TestAuthorizeWithoutCredentials lets nobody in whom the kernel knows nothing
// of.
func TestAuthorizeWithoutCredentials(t *testing.T) {
	noLeaks(t)
	lc := shmconn.ListenConfig{Authorize: func(shmconn.Credentials) error { return nil }}
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err == nil {
		l.Close()
	}
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("listen on tcp: %v", err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = shmconn.NewListener(inner, &lc)
	defer l.Close()
	c, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if n, err := c.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v", n, err)
	}
	wantStats(t, l, shmconn.ListenerStats{Accepted: 1, Refused: 1})
}

func TestSameUID(t *testing.T) {
	own := uint32(os.Geteuid())
	for uid, want := range map[uint32]bool{own: own != 65534, own + 1: false, 65534: false, 1<<32 - 1: false} {
		if err := shmconn.SameUID(shmconn.Credentials{UID: uid}); (err == nil) != want {
			t.Errorf("uid %d: %v", uid, err)
		}
	}
}

// TestDisplacedLadenClients has clients that have put something into their
// sockets whose release blocks, and that are displaced while they are served: they
// do not take the listener's places with them. They need not speak the protocol.
func TestDisplacedLadenClients(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	const places = 4
	release := make(chan struct{})
	entered := make(chan struct{}, 10*places)
	l, path := listen(t, "unix", shmconn.ListenConfig{
		RingSize:   4096,
		MaxPending: places,
		Authorize: func(shmconn.Credentials) error {
			entered <- struct{}{}
			<-release
			return nil
		},
	})
	serveEcho(t, l)
	for range 2 * places { // as many as the listener holds
		give(t, unixClient(t, path), []byte("x"), time.Hour)
	}
	for range 2 * places {
		<-entered
	}
	close(release)
	prompt(t, "an honest client", func() {
		if err := exchange(dial(t, "shm", path), "hello, server"); err != nil {
			t.Error(err)
		}
	})
}

// records are what a logger writes, one by one.
type records chan string

func (r records) Write(b []byte) (int, error) {
	r <- string(b)
	return len(b), nil
}

// TestLogger reads what is logged of clients that get less than they want.
func TestLogger(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	log := make(records, 10)
	failed := make(chan struct{})
	l, path := listen(t, "unix", shmconn.ListenConfig{
		RingSize: 4096,
		MaxConns: 1,
		Logger:   slog.New(slog.NewTextHandler(log, nil)),
		OnError:  func(net.Conn, error) { close(failed) },
	})
	wantLog := func(parts ...string) {
		t.Helper()
		record := <-log
		parts = append(parts, "level=WARN", "listener="+path, fmt.Sprintf("pid=%d uid=%d gid=%d\n", os.Getpid(), os.Geteuid(), os.Getegid()))
		for _, part := range parts {
			if !strings.Contains(record, part) {
				t.Errorf("record is without %q: %s", part, record)
			}
		}
	}
	dial(t, "unix", path) // a good client
	accept(t, l)
	dial(t, "unix", path)
	accept(t, l)
	wantLog(`msg="client gets no shared memory"`, "MaxConns")
	sock := rawDial(t, path)
	send(t, sock, frame(wire.Hello, wire.OK, 1, 1))
	<-failed
	wantLog(`msg="client refused"`, "ring size 1 ")
	if len(log) > 0 {
		t.Errorf("also logged: %s", <-log)
	}
}
