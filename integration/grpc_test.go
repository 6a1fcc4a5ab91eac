package integration_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/credentials/local"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"
	grpcpeer "google.golang.org/grpc/peer"

	"github.com/shmconn/shmconn/integration/internal/peer"
	"github.com/shmconn/shmconn/shmconn"
)

func init() { peer.Register("grpc", serveGRPC) }

// keepaliveTimeout is how long a client may take to answer a ping of the server.
const keepaliveTimeout = 5 * time.Second

// serveGRPC serves gRPC's interoperability tests until SIGTERM, and then what
// has begun.
func serveGRPC(l net.Listener, args []string) error {
	server := grpc.NewServer(
		grpc.Creds(grpcCredentials(args[0], true)),
		grpc.MaxConcurrentStreams(2000),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Second, Timeout: keepaliveTimeout}),
	)
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	ctx := terminated()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		server.GracefulStop()
	}()
	if err := server.Serve(l); err != nil {
		return err
	}
	<-stopped
	return nil
}

// grpcCredentials returns the transport credentials of the given name.
func grpcCredentials(name string, server bool) credentials.TransportCredentials {
	switch name {
	case "insecure":
		return insecure.NewCredentials()
	case "local":
		return local.NewCredentials()
	case "tls":
		if server {
			return credentials.NewTLS(serverTLS())
		}
		return credentials.NewTLS(clientTLS())
	}
	panic("no credentials " + name)
}

// dialGRPC returns a client of server, closed with the test.
func dialGRPC(t testing.TB, server *peer.Server, creds string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+server.Path, append(options,
		grpc.WithContextDialer((&shmconn.Dialer{}).DialTarget),
		grpc.WithTransportCredentials(grpcCredentials(creds, false)))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// interopCases are the cases of gRPC's interoperability tests but those for
// credentials of a cloud and for balancing load between servers. They end the
// process when they fail.
var interopCases = map[string]func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption){
	"empty_unary":                 interop.DoEmptyUnaryCall,
	"large_unary":                 interop.DoLargeUnaryCall,
	"client_streaming":            interop.DoClientStreaming,
	"server_streaming":            interop.DoServerStreaming,
	"ping_pong":                   interop.DoPingPong,
	"empty_stream":                interop.DoEmptyStream,
	"timeout_on_sleeping_server":  interop.DoTimeoutOnSleepingServer,
	"cancel_after_begin":          interop.DoCancelAfterBegin,
	"cancel_after_first_response": interop.DoCancelAfterFirstResponse,
	"custom_metadata":             interop.DoCustomMetadata,
	"status_code_and_message":     interop.DoStatusCodeAndMessage,
	"special_status_message":      interop.DoSpecialStatusMessage,
}

// TestGRPC runs gRPC's interoperability tests with each kind of credentials.
// The local ones accept a connection by the network of its address.
func TestGRPC(t *testing.T) {
	for _, creds := range []string{"insecure", "local", "tls"} {
		t.Run(creds, func(t *testing.T) {
			server := peer.Start(t, "grpc", creds)
			conn := dialGRPC(t, server, creds)
			client := testgrpc.NewTestServiceClient(conn)
			ctx := peer.Context(t)
			for name, run := range interopCases {
				t.Run(name, func(t *testing.T) { run(ctx, client) })
			}
			t.Run("unimplemented_method", func(t *testing.T) { interop.DoUnimplementedMethod(ctx, conn) })
			t.Run("unimplemented_service", func(t *testing.T) {
				interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(conn))
			})

			var far grpcpeer.Peer
			if _, err := client.EmptyCall(ctx, &testgrpc.Empty{}, grpc.Peer(&far)); err != nil {
				t.Fatal(err)
			}
			if got := far.AuthInfo.AuthType(); got != creds {
				t.Errorf("connection is secured by %q, want %q", got, creds)
			}
		})
	}
}

// TestGRPCStreams has 1000 streams open on one connection, all of them
// answering.
func TestGRPCStreams(t *testing.T) {
	const streams = 1000
	server := peer.Start(t, "grpc", "insecure")
	client := testgrpc.NewTestServiceClient(dialGRPC(t, server, "insecure"))
	ctx := peer.Context(t)
	var open, done sync.WaitGroup
	open.Add(streams)
	for i := range streams {
		done.Go(func() {
			stream, err := client.FullDuplexCall(ctx)
			if err == nil {
				err = pingStream(stream, i)
			}
			open.Done()
			if err != nil {
				t.Error(err)
				return
			}
			open.Wait()
			for range 3 {
				if err := pingStream(stream, i); err != nil {
					t.Error(err)
					return
				}
			}
			if err := stream.CloseSend(); err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
}

// pingStream asks for size bytes on an open stream and awaits them.
func pingStream(stream testgrpc.TestService_FullDuplexCallClient, size int) error {
	err := stream.Send(&testgrpc.StreamingOutputCallRequest{
		ResponseParameters: []*testgrpc.ResponseParameters{{Size: int32(size)}},
	})
	if err != nil {
		return err
	}
	answer, err := stream.Recv()
	if err != nil {
		return err
	}
	if got := len(answer.GetPayload().GetBody()); got != size {
		return fmt.Errorf("answer of %d bytes, want %d", got, size)
	}
	return nil
}
