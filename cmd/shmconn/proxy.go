package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

var proxyCommand = &command{
	name:     "proxy",
	operands: "LISTEN CONNECT",
	brief:    "forward connections between sockets and shared memory",
	help: `
Listens on one address, connects to the other for each connection, and forwards
the bytes both ways, half-closes included. Addresses are
` + endpointHelp + `

A server that knows nothing of shared memory, for clients that do:
  shmconn proxy shm:/run/app/redis.shm plain:/run/redis/redis.sock
A client that knows nothing of it:
  shmconn proxy tcp:127.0.0.1:6379 shm:/run/app/redis.shm

SIGINT and SIGTERM end it gracefully: it stops listening, waits until all
connections have ended or the time of -drain is over, and exits with 0. The
second signal ends it at once. A connection whose other side cannot be reached is
closed. The reason is logged to standard error, as are clients that are refused.`,
	run: runProxy,
}

// dialTime bounds how long the other side may take to accept a connection.
const dialTime = 10 * time.Second

func runProxy(c *command, args []string) error {
	flags := c.flags()
	mode := modeFlag(0o600)
	flags.Var(&mode, "mode", "permissions of the socket file, in `octal`")
	drain := flags.Duration("drain", 10*time.Second, "how long connections may go on after a signal; 0 means until they end")
	every := flags.Duration("stats", 0, "print statistics to standard error this often (default: a live line if that is a terminal); a negative value means never")
	if err := c.parse(flags, args, 2, 2); err != nil {
		return err
	}
	from, err := parseEndpoint(flags.Arg(0))
	if err != nil {
		return err
	}
	to, err := parseEndpoint(flags.Arg(1))
	if err != nil {
		return err
	}

	// Before there is anything to clean up.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := &proxy{to: to, relays: make(map[*relay]struct{})}
	p.screen = &screen{c: c, line: p.line, stop: make(chan struct{})}
	l, err := from.listen(ctx, os.FileMode(mode), func(_ net.Conn, err error) {
		p.screen.logf("client refused: %v", err)
	})
	if err != nil {
		return err
	}
	from.address = l.Addr().String() // with the port, if it was left to the system
	p.screen.logf("listening on %v, connecting to %v", from, to)
	p.screen.start(*every)
	defer p.screen.close()

	go func() {
		<-ctx.Done()
		stop() // the next signal has its default effect
		l.Close()
	}()
	if err := p.serve(ctx, l); err != nil {
		return err
	}
	p.finish(*drain)
	return nil
}

// proxy forwards connections. Its methods may be called by several goroutines at once.
type proxy struct {
	to     endpoint
	screen *screen
	wg     sync.WaitGroup // the connections

	mu     sync.Mutex // guards what follows; never held while the screen is used, which calls line
	relays map[*relay]struct{}
	ended  traffic // of relays that are over
	total  int     // connections accepted
	busy   int     // of these, those that are not over, be they forwarded or still to be dialled
	failed int     // connections for which the other side was not reached
}

// serve accepts connections from l until ctx ends.
func (p *proxy) serve(ctx context.Context, l net.Listener) error {
	var pause time.Duration
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return nil
		}
		var temporary interface{ Temporary() bool }
		switch {
		case err == nil:
			pause = 0
			p.mu.Lock()
			p.total++
			p.busy++
			p.mu.Unlock()
			p.wg.Go(func() { p.handle(conn) })
		case errors.As(err, &temporary) && temporary.Temporary():
			// Most likely out of descriptors, until a connection ends.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			p.screen.logf("%v; trying again in %v", err, pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		default:
			return err
		}
	}
}

// handle forwards one connection, which it owns.
func (p *proxy) handle(conn net.Conn) {
	// A signal does not cut this short: the connection has been accepted.
	ctx, cancel := context.WithTimeout(context.Background(), dialTime)
	far, err := p.to.dial(ctx)
	cancel()
	if err != nil {
		conn.Close()
		p.mu.Lock()
		p.busy--
		p.failed++
		p.mu.Unlock()
		p.screen.logf("%v", err)
		return
	}
	r := newRelay(conn, far)
	p.mu.Lock()
	p.relays[r] = struct{}{}
	p.mu.Unlock()

	r.run()

	p.mu.Lock()
	delete(p.relays, r)
	p.busy--
	p.ended.add(r.traffic())
	p.mu.Unlock()
}

// finish waits for the connections to end, and after the given time, if it is not 0, ends them.
func (p *proxy) finish(drain time.Duration) {
	done := make(chan struct{})
	go func() {
		p.wg.Wait()
		close(done)
	}()
	if open := p.open(); open > 0 {
		p.screen.logf("waiting for %d connections; another signal ends them", open)
	}
	var over <-chan time.Time
	if drain > 0 {
		over = time.After(drain)
	}
	select {
	case <-done:
	case <-over:
		p.screen.logf("ending %d connections after %v", p.open(), drain)
		p.mu.Lock()
		defer p.mu.Unlock()
		for r := range p.relays {
			r.close()
		}
	}
}

// open returns the number of connections that are not over.
func (p *proxy) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.busy
}

// line returns the statistics as one line; rates are those since the last call with these values.
func (p *proxy) line(last traffic, since time.Duration) (string, traffic) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sum := p.ended
	for r := range p.relays {
		sum.add(r.traffic())
	}
	return fmt.Sprintf("%d open, %d accepted, %d failed; to %v %s (%s/s), from it %s (%s/s)",
		p.busy, p.total, p.failed,
		p.to.network, inBytes(float64(sum.there)), inBytes(rate(sum.there-last.there, since)),
		inBytes(float64(sum.back)), inBytes(rate(sum.back-last.back, since))), sum
}

func rate(n uint64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}
