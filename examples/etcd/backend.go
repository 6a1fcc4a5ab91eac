package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/shmconn/shmconn/shmconn"
)

// service is the name by which backends are found in etcd.
const service = "backends"

// leaseTTL is after how many seconds etcd forgets a backend that has died.
const leaseTTL = 5

// runBackend serves gRPC's health check on a TCP port and, with a directory, on a
// socket there that has the name of the address. It registers the address with
// etcd until ctx ends or its standard input does.
func runBackend(ctx context.Context, name, etcd, dir string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	server := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		// Who answers, and what carried the question.
		from, _ := peer.FromContext(ctx)
		grpc.SetHeader(ctx, metadata.Pairs("backend", name, "network", from.Addr.Network()))
		return handle(ctx, request)
	}))
	healthpb.RegisterHealthServer(server, health.NewServer())
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	listeners := []net.Listener{tcp}
	if dir != "" {
		local, err := shmconn.Listen("shm", socketOf(dir, tcp.Addr().String()))
		if err != nil {
			return err
		}
		listeners = append(listeners, local)
	}
	served := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { served <- server.Serve(l) }()
	}

	client, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd}})
	if err != nil {
		return err
	}
	defer client.Close()
	if err := register(ctx, client, tcp.Addr().String()); err != nil {
		return err
	}
	fmt.Println("ready")
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	server.GracefulStop()
	return nil
}

// socketOf returns the path of the socket at which a backend of this machine
// listens besides its TCP address.
func socketOf(dir, address string) string { return filepath.Join(dir, address+".sock") }

// register has etcd know the address for as long as this process lives.
func register(ctx context.Context, client *clientv3.Client, address string) error {
	manager, err := endpoints.NewManager(client, service)
	if err != nil {
		return err
	}
	lease, err := client.Grant(ctx, leaseTTL)
	if err != nil {
		return err
	}
	alive, err := client.KeepAlive(ctx, lease.ID)
	if err != nil {
		return err
	}
	go func() {
		for range alive {
		}
	}()
	err = manager.AddEndpoint(ctx, service+"/"+address, endpoints.Endpoint{Addr: address}, clientv3.WithLease(lease.ID))
	if err != nil {
		return errors.Join(errors.New("register"), err)
	}
	return nil
}
