package integration_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/shmconn/shmconn/integration/internal/peer"
)

func init() {
	peer.Register("ttrpc", func(l net.Listener, _ []string) error {
		server, err := ttrpc.NewServer()
		if err != nil {
			return err
		}
		server.Register("shout.Service", map[string]ttrpc.Method{
			"Unary": func(_ context.Context, unmarshal func(any) error) (any, error) {
				var m text
				if err := unmarshal(&m); err != nil {
					return nil, err
				}
				return shout(&m), nil
			},
		})
		ctx := terminated()
		drained := make(chan error, 1)
		go func() {
			<-ctx.Done()
			drained <- server.Shutdown(context.Background())
		}()
		if err := server.Serve(context.Background(), l); err != ttrpc.ErrServerClosed {
			return err
		}
		return <-drained
	})
}

func TestTTRPC(t *testing.T) {
	server := peer.Start(t, "ttrpc")
	client := ttrpc.NewClient(server.Dial(t))
	ctx := peer.Context(t)
	var calls sync.WaitGroup
	for i := range 100 {
		calls.Go(func() {
			question, answer := wrapperspb.String(strings.Repeat("a", i*10_000)), new(text)
			if err := client.Call(ctx, "shout.Service", "Unary", question, answer); err != nil {
				t.Error(err)
			} else if answer.Value != strings.Repeat("A", i*10_000) {
				t.Errorf("answer of %d bytes, want %d", len(answer.Value), i*10_000)
			}
		})
	}
	calls.Wait()
	client.Close()
	server.Terminate(t)
}
