package integration_test

import (
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/shmconn/shmconn/integration/internal/peer"
	"github.com/shmconn/shmconn/shmconn"
)

// TestGRPCGracefulStop stops a server with a stream open: the stream goes on
// until its client ends it, while nobody can connect any more.
func TestGRPCGracefulStop(t *testing.T) {
	server := peer.Start(t, "grpc", "local")
	drainGRPC(t, server)
}

// drainGRPC stops server, which serves "grpc", with a stream open.
func drainGRPC(t *testing.T, server *peer.Server) {
	t.Helper()
	ctx := peer.Context(t)
	client := testgrpc.NewTestServiceClient(dialGRPC(t, server, "local"))
	stream, err := client.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := pingStream(stream, 1); err != nil {
		t.Fatal(err)
	}
	server.Terminate(t)
	peer.Eventually(t, "the server no longer takes calls", func() bool {
		_, err := client.EmptyCall(ctx, &testgrpc.Empty{})
		return status.Code(err) == codes.Unavailable
	})
	for range 10 {
		if err := pingStream(stream, 100_000); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("end of the stream: %v", err)
	}
	server.Wait(t)
}

// TestGRPCServerKeepalive answers the server's pings for a while, and then no
// longer: the server closes.
func TestGRPCServerKeepalive(t *testing.T) {
	t.Parallel()
	server := peer.Start(t, "grpc", "insecure")
	conn := server.Dial(t)
	io.WriteString(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, conn)
	framer.WriteSettings()
	pings := 0
	for {
		frame, err := framer.ReadFrame()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		ping, ok := frame.(*http2.PingFrame)
		if !ok || ping.IsAck() {
			continue
		}
		if pings++; pings <= 2 {
			framer.WritePing(true, ping.Data)
		}
	}
	if pings != 3 {
		t.Errorf("closed after %d pings, of which two were answered", pings)
	}
}

// TestGRPCClientKeepalive stops the server's process, without ending it, in the
// middle of a stream: the client finds out by itself.
func TestGRPCClientKeepalive(t *testing.T) {
	t.Parallel()
	server := peer.Start(t, "grpc", "insecure")
	conn := dialGRPC(t, server, "insecure", grpc.WithKeepaliveParams(keepalive.ClientParameters{
		Time:    10 * time.Second, // gRPC allows no less
		Timeout: time.Second,
	}))
	stream, err := testgrpc.NewTestServiceClient(conn).FullDuplexCall(peer.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := pingStream(stream, 1); err != nil {
		t.Fatal(err)
	}
	server.Signal(t, syscall.SIGSTOP)
	defer server.Signal(t, syscall.SIGCONT)
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("stream to a stopped server: %v", err)
	}
}

// TestGRPCServerDies kills the server in the middle of a stream. A new one on
// the same path serves the same client.
func TestGRPCServerDies(t *testing.T) {
	ctx := peer.Context(t)
	path := peer.SocketPath(t)
	first := peer.StartAt(t, path, "grpc", "insecure")
	client := testgrpc.NewTestServiceClient(dialGRPC(t, first, "insecure"))
	stream, err := client.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := pingStream(stream, 1); err != nil {
		t.Fatal(err)
	}
	first.Kill(t)
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("stream to a dead server: %v", err)
	}
	if _, err := shmconn.Dial("unix", path); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial to a dead server: %v", err)
	}
	os.Remove(path) // it is in the way, like that of any dead server
	peer.StartAt(t, path, "grpc", "insecure")
	if _, err := client.EmptyCall(ctx, &testgrpc.Empty{}, grpc.WaitForReady(true)); err != nil {
		t.Errorf("call after a restart: %v", err)
	}
}
