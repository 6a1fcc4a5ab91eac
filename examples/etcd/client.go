package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/naming/resolver"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/shmconn/shmconn/shmconn"
)

// policy takes backends in turns, and asks another one when one is gone, which
// is harmless for what this asks.
const policy = `{
	"loadBalancingConfig": [{"round_robin": {}}],
	"methodConfig": [{
		"name": [{}],
		"retryPolicy": {
			"maxAttempts": 5,
			"initialBackoff": "0.01s",
			"maxBackoff": "0.1s",
			"backoffMultiplier": 2,
			"retryableStatusCodes": ["UNAVAILABLE"]
		}
	}]
}`

// callers is how many requests are under way at the same time.
const callers = 8

// run makes requests for a while and returns the shares of the backends. A failed
// request is an error.
func run(ctx context.Context, duration time.Duration) ([]share, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dir, err := os.MkdirTemp("", "etcd-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	etcd, address, err := startEtcd(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer etcd.Close()

	backends := []*backend{{name: "A", local: true}, {name: "B"}, {name: "C", local: true}, {name: "D", local: true}}
	for _, b := range backends[:3] {
		if err := b.start(address, dir); err != nil {
			return nil, err
		}
		defer b.stop()
	}
	names, err := clientv3.New(clientv3.Config{Endpoints: []string{address}})
	if err != nil {
		return nil, err
	}
	defer names.Close()
	builder, err := resolver.NewBuilder(names)
	if err != nil {
		return nil, err
	}
	var dialed struct{ shared, tcp atomic.Int64 }
	dialer := &shmconn.Dialer{LocalPath: func(_, address string) (string, bool) {
		path := socketOf(dir, address)
		_, err := os.Stat(path)
		return path, err == nil
	}}
	conn, err := grpc.NewClient("etcd:///"+service,
		grpc.WithResolvers(builder),
		grpc.WithDefaultServiceConfig(policy),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			c, err := dialer.DialTarget(ctx, address)
			if _, ok := c.(*shmconn.Conn); ok {
				dialed.shared.Add(1)
			} else if err == nil {
				dialed.tcp.Add(1)
			}
			return c, err
		}))
	if err != nil {
		return nil, err
	}
	defer conn.Close()

	// A third of the time with all, a third without one, a third with a new one.
	failures := make(chan error, callers)
	var wg sync.WaitGroup
	end := time.Now().Add(duration)
	for range callers {
		wg.Go(func() {
			for time.Now().Before(end) && ctx.Err() == nil {
				if err := ask(ctx, healthpb.NewHealthClient(conn), backends); err != nil {
					failures <- err
					cancel()
					return
				}
			}
		})
	}
	pause := func() {
		select {
		case <-time.After(duration / 3):
		case <-ctx.Done():
		}
	}
	pause()
	backends[0].kill()
	pause()
	joined := backends[3]
	startErr := joined.start(address, dir)
	defer joined.stop()
	wg.Wait()
	close(failures)
	if err := errors.Join(startErr, <-failures); err != nil {
		return nil, err
	}

	var shares []share
	for _, b := range backends {
		s := share{backend: b.name, local: b.local, killed: b.killed, shared: int(b.shared.Load()), tcp: int(b.tcp.Load())}
		if s.local && s.tcp > 0 || !s.local && s.shared > 0 {
			return nil, fmt.Errorf("backend %s was asked in the wrong way: %+v", b.name, s)
		}
		shares = append(shares, s)
	}
	if dialed.shared.Load() < 3 || dialed.tcp.Load() < 1 {
		return nil, fmt.Errorf("the client has made %d connections over shared memory and %d over TCP", dialed.shared.Load(), dialed.tcp.Load())
	}
	return shares, nil
}

// ask makes a request, and counts it for who has answered, in the way that that
// one says.
func ask(ctx context.Context, client healthpb.HealthClient, backends []*backend) error {
	var header metadata.MD
	if _, err := client.Check(ctx, new(healthpb.HealthCheckRequest), grpc.Header(&header), grpc.WaitForReady(true)); err != nil {
		return err
	}
	for _, b := range backends {
		if b.name != header.Get("backend")[0] {
			continue
		}
		if header.Get("network")[0] == "unix" {
			b.shared.Add(1)
		} else {
			b.tcp.Add(1)
		}
		return nil
	}
	return fmt.Errorf("answer from nobody: %v", header)
}

// backend is a process.
type backend struct {
	name        string
	local       bool
	killed      bool
	shared, tcp atomic.Int64 // requests that it has answered

	cmd *exec.Cmd
	in  io.Closer
}

// start starts the process, and returns when etcd knows it.
func (b *backend) start(etcd, dir string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	args := []string{"-backend", b.name, "-etcd", etcd}
	if b.local {
		args = append(args, "-dir", dir)
	}
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	b.cmd, b.in = cmd, in
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		return fmt.Errorf("backend %s says %q: %w", b.name, line, err)
	}
	return nil
}

// kill ends the process as a crash would. Its socket's file stays.
func (b *backend) kill() {
	b.killed = true
	b.cmd.Process.Kill()
}

// stop ends the process, which answers what it has begun with.
func (b *backend) stop() {
	if b.cmd != nil {
		b.in.Close()
		b.cmd.Wait()
	}
}

// startEtcd runs etcd in this process, with its files in dir, and returns the
// address for clients.
func startEtcd(ctx context.Context, dir string) (*embed.Etcd, string, error) {
	config := embed.NewConfig()
	config.Dir = filepath.Join(dir, "data")
	config.LogLevel = "fatal"
	// Ports that are free now.
	var urls [2]url.URL
	for i := range urls {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, "", err
		}
		urls[i] = url.URL{Scheme: "http", Host: l.Addr().String()}
		l.Close()
	}
	config.ListenClientUrls, config.AdvertiseClientUrls = urls[:1], urls[:1]
	config.ListenPeerUrls, config.AdvertisePeerUrls = urls[1:], urls[1:]
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return nil, "", err
	}
	select {
	case <-etcd.Server.ReadyNotify():
		return etcd, urls[0].Host, nil
	case <-ctx.Done():
		etcd.Close()
		return nil, "", ctx.Err()
	}
}
