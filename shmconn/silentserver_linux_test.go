package shmconn_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shmconn/shmconn/internal/wire"
	"github.com/shmconn/shmconn/shmconn"
)

// silentServers fall silent at each step of the handshake.
var silentServers = map[string]func(t testing.TB, sock *net.UnixConn){
	"no greeting": func(testing.TB, *net.UnixConn) {},
	"half a greeting": func(t testing.TB, sock *net.UnixConn) {
		send(t, sock, frame(wire.Greeting, 0, 0, 0)[:31])
	},
	"no offer": greet,
	"no memory": func(t testing.TB, sock *net.UnixConn) {
		greet(t, sock)
		send(t, sock, frame(wire.Offer, 0, 4096, 4096))
	},
	"one byte of memory": func(t testing.TB, sock *net.UnixConn) {
		greet(t, sock)
		send(t, sock, frame(wire.Offer, 0, 4096, 4096))
		send(t, sock, frame(wire.Memory, 0, 0, 0)[:1])
	},
}

// TestSilentServerTimesOut has clients without a deadline of their own wait for
// the handshake's, all at the same time. Those who dial "unix" do so once the
// server has greeted; before that it may be a plain one.
func TestSilentServerTimesOut(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	var wg sync.WaitGroup
	defer wg.Wait()
	for name, run := range silentServers {
		for _, network := range []string{"shm", "unix"} {
			if network == "unix" && strings.HasSuffix(name, "greeting") {
				continue
			}
			l, path := rawListen(t)
			wg.Go(func() {
				start := time.Now()
				c, err := shmconn.Dial(network, path)
				if err == nil {
					c.Close()
				}
				var timeout net.Error
				if !errors.As(err, &timeout) || !timeout.Timeout() {
					t.Errorf("%s, %s: error is %v, want a timeout", network, name, err)
				}
				if took := time.Since(start); took < 4*time.Second {
					t.Errorf("%s, %s: given up after %v", network, name, took)
				}
			})
			run(t, rawAccept(t, l))
		}
	}
}

// TestSilentServer shows that no server can make a strict client wait beyond
// the deadline of its context.
func TestSilentServer(t *testing.T) {
	for name, run := range silentServers {
		for _, cancelled := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				noLeaks(t)
				watchdog(t, patience)
				l, path := rawListen(t)
				ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
				want := context.DeadlineExceeded
				if cancelled {
					ctx, cancel = context.WithCancel(context.Background())
					want = context.Canceled
				}
				defer cancel()
				result := make(chan error, 1)
				go func() {
					_, err := new(shmconn.Dialer).DialContext(ctx, "shm", path)
					result <- err
				}()
				run(t, rawAccept(t, l))
				if cancelled {
					cancel()
				}
				err := <-result
				if !errors.Is(err, want) {
					t.Errorf("error is %v, want %v", err, want)
				}
				var timeout net.Error
				if !errors.As(err, &timeout) || timeout.Timeout() != !cancelled {
					t.Errorf("Timeout() of %v is not %v", err, !cancelled)
				}
			})
		}
	}
}
