package shmconn_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shmconn/shmconn/internal/wire"
	"github.com/shmconn/shmconn/shmconn"
)

// childGreedyClient makes args[2] connections to args[1] on network args[0], says
// what they are, and keeps them.
func childGreedyClient(args []string) error {
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	for range n {
		c, err := shmconn.Dial(args[0], args[1])
		if err == nil {
			err = exchange(c, "room for one more?")
		}
		switch {
		case errors.Is(err, shmconn.ErrLimit):
			fmt.Println("limit")
		case err != nil:
			fmt.Println(err)
		default:
			fmt.Println(kind(c))
			kept = append(kept, c)
		}
	}
	orphaned()
	return nil
}

// listenToAll listens on an abstract address, to which any user can connect.
func listenToAll(t testing.TB, network string, lc shmconn.ListenConfig) (l net.Listener, address string) {
	t.Helper()
	address = "@" + rand.Text()
	l, err := lc.Listen(context.Background(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, address
}

// TestMaxConns opens one connection too many, and then one in the place of
// another.
func TestMaxConns(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	for _, lc := range []shmconn.ListenConfig{
		{RingSize: 4096, MaxConns: 2, MaxConnsPerUID: 2},
		{RingSize: 4096, MaxConns: 4}, // half of it for each user
		{RingSize: 4096, MaxConns: 9, MaxConnsPerUID: 2},
	} {
		for _, network := range []string{"unix", "shm"} {
			t.Run(fmt.Sprintf("%s, %d, %d", network, lc.MaxConns, lc.MaxConnsPerUID), func(t *testing.T) {
				failures := make(chan error, 1)
				lc := lc
				lc.OnError = func(_ net.Conn, err error) { failures <- err }
				l, path := listen(t, network, lc)
				first := dial(t, "shm", path)
				server := accept(t, l)
				dial(t, "shm", path)
				accept(t, l)
				want := shmconn.ListenerStats{Accepted: 3, Shared: 2, Conns: 2, Memory: 2 * memoryOf(4096), Limited: 1}

				c, err := shmconn.Dial("unix", path)
				if network == "unix" {
					if err != nil || kind(c) != "plain" {
						t.Fatalf("one too many is %T, %v", c, err)
					}
					defer c.Close()
					s := accept(t, l)
					go echo(s)
					if err := exchange(c, "over the socket"); err != nil {
						t.Error(err)
					}
					want.Plain = 1
				} else {
					if !errors.Is(err, shmconn.ErrLimit) {
						t.Errorf("dial: %v, want ErrLimit", err)
					}
					if err := <-failures; !errors.Is(err, shmconn.ErrLimit) || !strings.Contains(err.Error(), "MaxConns") {
						t.Errorf("OnError is told of %v", err)
					}
					want.Refused = 1
				}
				wantStats(t, l, want)

				first.Close()
				server.Close()
				dial(t, "shm", path)
				accept(t, l)
				want.Accepted, want.Shared = want.Accepted+1, want.Shared+1
				wantStats(t, l, want)
			})
		}
	}
}

// TestNegativeLimits: there is no listener with limits that cannot be.
func TestNegativeLimits(t *testing.T) {
	for _, lc := range []shmconn.ListenConfig{{MaxConns: -1}, {MaxConnsPerUID: -1}} {
		if l, err := lc.Listen(context.Background(), "unix", socketPath(t)); err == nil {
			l.Close()
			t.Errorf("%d, %d: no error", lc.MaxConns, lc.MaxConnsPerUID)
		}
	}
}

// TestGreedyUser has the clients of other users open as many connections as they
// can, in several processes, and hold on to them.
func TestGreedyUser(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	for _, test := range []struct{ network, beyond string }{{"unix", "plain"}, {"shm", "limit"}} {
		t.Run(test.network, func(t *testing.T) {
			l, address := listenToAll(t, test.network, shmconn.ListenConfig{RingSize: 4096, MaxConns: 7, MaxConnsPerUID: 3})
			serveEcho(t, l)
			var greedy []*child
			for _, uid := range []uint32{54321, 54322} {
				a := startStranger(t, uid, "greedy client", test.network, address, "2")
				expect(t, a.out, "shared\nshared\n")
				b := startStranger(t, uid, "greedy client", test.network, address, "3")
				expect(t, b.out, "shared\n"+strings.Repeat(test.beyond+"\n", 2))
				greedy = append(greedy, a, b)
			}
			// Others are served, until the listener's own limit.
			honest := dial(t, "shm", address)
			if err := exchange(honest, "hello, server"); err != nil {
				t.Error(err)
			}
			c := startStranger(t, 54323, "greedy client", test.network, address, "1")
			expect(t, c.out, test.beyond+"\n")
			if s := l.(*shmconn.Listener).Stats(); s.Conns != 7 || s.Memory != 7*memoryOf(4096) || s.Limited != 5 {
				t.Errorf("counters are %+v", s)
			}
			// A process that is killed gives back what it has had.
			for _, g := range greedy {
				g.Process.Kill()
			}
			eventually(t, "places of dead clients free", func() bool { return l.(*shmconn.Listener).Stats().Conns == 1 })
			d := startStranger(t, 54321, "greedy client", test.network, address, "4")
			expect(t, d.out, strings.Repeat("shared\n", 3)+test.beyond+"\n")
			if err := exchange(honest, "still there?"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAccountOfBadClient has a single place that every bad client takes, at
// whichever step it then fails.
func TestAccountOfBadClient(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	t.Run("all", func(t *testing.T) {
		for _, bad := range badClients {
			t.Run(bad.name, func(t *testing.T) {
				t.Parallel()
				failures := make(chan error, 1)
				l, path := listen(t, "shm", shmconn.ListenConfig{
					RingSize:         4096,
					MaxConns:         1,
					HandshakeTimeout: 2 * time.Second,
					OnError:          func(_ net.Conn, err error) { failures <- err },
				})
				bad.run(t, rawDial(t, path))
				if err := <-failures; errors.Is(err, shmconn.ErrLimit) {
					t.Error(err)
				}
				wantStats(t, l, shmconn.ListenerStats{Accepted: 1, Failed: 1})
				dial(t, "shm", path)
			})
		}
	})
}

// TestAccountOfPlain gives the place of a client that declines the memory to the
// next, though its connection goes on.
func TestAccountOfPlain(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	l, path := listen(t, "unix", shmconn.ListenConfig{RingSize: 4096, MaxConns: 1})
	sock := rawDial(t, path)
	receive(t, sock, wire.Greeting)
	send(t, sock, frame(wire.Hello, wire.OK, 0, 0))
	receive(t, sock, wire.Offer)
	takeMemoryFrame(t, sock)
	send(t, sock, frame(wire.Accept, wire.Plain, 0, 0))
	accept(t, l)
	wantStats(t, l, shmconn.ListenerStats{Accepted: 1, Plain: 1})
	dial(t, "shm", path)
}
