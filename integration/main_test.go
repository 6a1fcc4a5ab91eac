package integration_test

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/shmconn/shmconn/integration/internal/peer"
)

func TestMain(m *testing.M) {
	peer.Main()
	os.Exit(m.Run())
}

// terminated returns a context that ends when the service manager, or a test
// in its place, asks this process to stop.
func terminated() context.Context {
	ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	return ctx
}
