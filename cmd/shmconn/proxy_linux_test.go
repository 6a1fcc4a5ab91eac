package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/shmconn/shmconn/shmconn"
)

// startProxy starts a proxy and returns its address as well, with the port that the system chose.
func startProxy(t *testing.T, args ...string) (*process, endpoint) {
	t.Helper()
	p := start(t, append([]string{"proxy"}, args...)...)
	address, _, _ := strings.Cut(p.says(t, "listening on "), ", connecting to ")
	e, err := parseEndpoint(address)
	if err != nil {
		t.Fatal(err)
	}
	return p, e
}

// freshEndpoint returns an address to listen on.
func freshEndpoint(t *testing.T, network string) endpoint {
	if network == "tcp" {
		return endpoint{"tcp", "127.0.0.1:0"}
	}
	return endpoint{network, socketPath(t)}
}

// serve serves connections on a fresh address until the test ends.
func serve(t *testing.T, network string, handle func(stream)) endpoint {
	t.Helper()
	e := freshEndpoint(t, network)
	l, err := e.listen(t.Context(), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	e.address = l.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(patience))
				handle(c.(stream))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return e
}

// connect connects to e, with a deadline on everything.
func connect(t *testing.T, e endpoint) stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := e.dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c.(stream)
}

// reverse answers a stream, once it has ended, with its bytes in reverse order.
func reverse(c stream) {
	all, err := io.ReadAll(c)
	if err != nil {
		return
	}
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	c.Write(all)
	c.CloseWrite()
	io.Copy(io.Discard, c)
}

// TestProxy forwards several connections at once between all kinds of addresses. The server answers
// only once it has seen the end of a stream, so half-closes must come through.
func TestProxy(t *testing.T) {
	networks := []string{"shm", "unix", "plain", "tcp"}
	for _, near := range networks {
		for _, far := range networks {
			t.Run(near+" to "+far, func(t *testing.T) {
				var carriers sync.Map
				server := serve(t, far, func(c stream) {
					carriers.Store(fmt.Sprintf("%T", c), true)
					reverse(c)
				})
				_, e := startProxy(t, freshEndpoint(t, near).String(), server.String())
				var wg sync.WaitGroup
				for i := range 4 {
					wg.Go(func() {
						c := connect(t, e)
						if _, shared := c.(*shmconn.Conn); shared != (near == "shm" || near == "unix") {
							t.Errorf("client has a %T", c)
						}
						sent := randomBytes(uint64(i), []int{0, 1, 100_000, 3 << 20}[i])
						if _, err := c.Write(sent); err != nil {
							t.Error(err)
						}
						c.CloseWrite()
						got, err := io.ReadAll(c)
						for i, j := 0, len(got)-1; i < j; i, j = i+1, j-1 {
							got[i], got[j] = got[j], got[i]
						}
						if err != nil || !bytes.Equal(got, sent) {
							t.Errorf("sent %d bytes, got %d others back, %v", len(sent), len(got), err)
						}
					})
				}
				wg.Wait()
				if _, shared := carriers.Load("*shmconn.Conn"); shared != (far == "shm" || far == "unix") {
					t.Error("wrong carrier to the server")
				}
			})
		}
	}
}

func randomBytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestProxyServerRefuses has a server answer and close before it has read everything: the client
// gets the answer, and its writes fail.
func TestProxyServerRefuses(t *testing.T) {
	for _, pair := range [][2]string{{"shm", "plain"}, {"plain", "shm"}, {"shm", "shm"}} {
		t.Run(pair[0]+" to "+pair[1], func(t *testing.T) {
			server := serve(t, pair[1], func(c stream) {
				c.Read(make([]byte, 1))
				io.WriteString(c, "too large")
				c.CloseRead()
				c.CloseWrite()
				// Closing a plain socket with unread bytes would take the answer back.
				c.SetDeadline(time.Now().Add(patience))
				io.Copy(io.Discard, c)
			})
			_, e := startProxy(t, freshEndpoint(t, pair[0]).String(), server.String())
			c := connect(t, e)
			piece := make([]byte, 1<<16)
			for {
				if _, err := c.Write(piece); errors.Is(err, syscall.EPIPE) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
			if got, err := io.ReadAll(c); string(got) != "too large" || err != nil {
				t.Errorf("answer is %q, %v", got, err)
			}
		})
	}
}

// TestProxyDeadClient kills a client: the server gets everything that it had sent, then the end, and
// the proxy forgets about it although the server stays.
func TestProxyDeadClient(t *testing.T) {
	got := make(chan string, 1)
	free := make(chan struct{})
	server := serve(t, "plain", func(c stream) {
		all, err := io.ReadAll(c)
		got <- fmt.Sprint(string(all), " ", err)
		<-free
	})
	defer close(free)
	p, e := startProxy(t, "-stats", "10ms", freshEndpoint(t, "shm").String(), server.String())
	client := start(t, "proxy", freshEndpoint(t, "plain").String(), e.String())
	address, _, _ := strings.Cut(client.says(t, "listening on "), ",")
	first, err := parseEndpoint(address)
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, first)
	io.WriteString(c, "last words")
	p.says(t, "1 open, 1 accepted, 0 failed; to plain 10 B")
	client.Process.Kill()
	if s := <-got; s != "last words <nil>" {
		t.Errorf("server read %q", s)
	}
	p.says(t, "0 open, 1 accepted")
}

// TestProxyUnreachable lets the target come and go.
func TestProxyUnreachable(t *testing.T) {
	target := freshEndpoint(t, "shm")
	p, e := startProxy(t, freshEndpoint(t, "plain").String(), target.String())
	if got, err := io.ReadAll(connect(t, e)); len(got) > 0 || err != nil {
		t.Errorf("client of an unreachable server got %q, %v", got, err)
	}
	p.says(t, "dial unix "+target.address+": connect: no such file or directory")
	l, err := target.listen(t.Context(), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	connect(t, e)
	if _, err := l.Accept(); err != nil {
		t.Error(err)
	}
}

// TestProxyRefusesPlain checks that network shm has no plain clients.
func TestProxyRefusesPlain(t *testing.T) {
	server := serve(t, "plain", reverse)
	p, e := startProxy(t, freshEndpoint(t, "shm").String(), server.String())
	e.network = "plain"
	if got, err := io.ReadAll(connect(t, e)); len(got) > 0 || err != nil {
		t.Errorf("plain client got %q, %v", got, err)
	}
	p.says(t, "client refused: client does not use shared memory")
}

// TestProxyMode checks the permissions of the socket file, whatever the umask.
func TestProxyMode(t *testing.T) {
	for _, network := range []string{"shm", "plain"} {
		for _, mode := range []fs.FileMode{0o600, 0o660, 0o777} {
			_, e := startProxy(t, "-mode", fmt.Sprintf("%o", mode), freshEndpoint(t, network).String(), "tcp:localhost:1")
			info, err := os.Stat(e.address)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != mode {
				t.Errorf("%s socket has mode %#o, want %#o", network, got, mode)
			}
		}
	}
}

// TestProxyInUse explains a socket file that is in the way.
func TestProxyInUse(t *testing.T) {
	server := serve(t, "plain", reverse)
	r := runProgram(t, "", "proxy", "shm:"+server.address, "tcp:localhost:1")
	if r.code != 1 || !regexp.MustCompile(`^shmconn proxy: listen unix .*address already in use \(remove it`).MatchString(r.stderr) {
		t.Errorf("exit code %d, standard error %q", r.code, r.stderr)
	}
}

// TestProxyDrain ends a proxy with a connection that goes on, and one that never ends.
func TestProxyDrain(t *testing.T) {
	server := serve(t, "plain", reverse)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		p, e := startProxy(t, "-stats", "10ms", "-drain", "0", freshEndpoint(t, "shm").String(), server.String())
		c := connect(t, e)
		io.WriteString(c, "to and ")
		p.says(t, "1 open")
		p.Process.Signal(signal)
		p.says(t, "waiting for 1 connections")
		if _, err := os.Stat(e.address); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("socket file is still there: %v", err)
		}
		if _, err := e.dial(t.Context()); err == nil {
			t.Error("a new connection is served")
		}
		io.WriteString(c, "fro")
		c.CloseWrite()
		if got, err := io.ReadAll(c); string(got) != "orf dna ot" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		c.Close()
		if code := p.wait(t); code != 0 {
			t.Errorf("%v: exit code %d", signal, code)
		}
	}

	p, e := startProxy(t, "-stats", "10ms", "-drain", "1ms", freshEndpoint(t, "shm").String(), server.String())
	c := connect(t, e)
	io.WriteString(c, "never ends")
	p.says(t, "1 open")
	p.Process.Signal(syscall.SIGTERM)
	if code := p.wait(t); code != 0 {
		t.Errorf("exit code %d after connections were ended", code)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Read of the ended connection: %v", err)
	}
}

// TestProxySecondSignal ends a proxy that waits for a connection.
func TestProxySecondSignal(t *testing.T) {
	server := serve(t, "plain", reverse)
	p, e := startProxy(t, "-stats", "10ms", "-drain", "0", freshEndpoint(t, "shm").String(), server.String())
	c := connect(t, e)
	io.WriteString(c, "never ends")
	p.says(t, "1 open")
	p.Process.Signal(syscall.SIGINT)
	p.says(t, "waiting for 1 connections; another signal ends them")
	p.Process.Signal(syscall.SIGINT)
	if code := p.wait(t); code != -1 {
		t.Errorf("exit code %d, want the signal", code)
	}
}
