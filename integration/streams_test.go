package integration_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/rpc"
	"sync"
	"testing"

	"github.com/hashicorp/yamux"

	"github.com/shmconn/shmconn/integration/internal/peer"
)

func init() {
	peer.Register("tls", func(l net.Listener, _ []string) error {
		return serveEcho(tls.NewListener(l, serverTLS()))
	})
	peer.Register("yamux", func(l net.Listener, _ []string) error {
		return serveEach(l, func(c net.Conn) error {
			config := yamux.DefaultConfig()
			config.LogOutput = io.Discard // it warns of window updates that a closed stream gets
			session, err := yamux.Server(c, config)
			if err != nil {
				return err
			}
			return serveEcho(session)
		})
	})
	peer.Register("net/rpc", func(l net.Listener, _ []string) error {
		server := rpc.NewServer()
		if err := server.Register(Arith{}); err != nil {
			return err
		}
		server.Accept(l)
		return nil
	})
}

// serveEach serves every connection on a goroutine of its own.
func serveEach(l net.Listener, serve func(net.Conn) error) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			serve(c)
		}()
	}
}

// serveEcho sends everything back.
func serveEcho(l net.Listener) error {
	return serveEach(l, func(c net.Conn) error {
		_, err := io.Copy(c, c)
		return err
	})
}

// bounce sends size random bytes to an echo, ends its direction and compares
// what comes back.
func bounce(c io.ReadWriter, size int, closeWrite func() error) error {
	sent := make([]byte, size)
	source := rand.NewChaCha8([32]byte{byte(size)})
	source.Read(sent)
	errs := make(chan error, 1)
	go func() {
		_, err := c.Write(sent)
		errs <- errors.Join(err, closeWrite())
	}()
	got, err := io.ReadAll(c)
	if err := errors.Join(err, <-errs); err != nil {
		return err
	}
	if !bytes.Equal(got, sent) {
		return fmt.Errorf("%d bytes come back, not the %d that were sent", len(got), size)
	}
	return nil
}

// TestTLS encrypts what goes through the memory.
func TestTLS(t *testing.T) {
	server := peer.Start(t, "tls")
	for _, size := range []int{1, 16 << 10, 10 << 20} {
		conn := tls.Client(server.Dial(t), clientTLS())
		if err := bounce(conn, size, conn.CloseWrite); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		if v := conn.ConnectionState().Version; v != tls.VersionTLS13 {
			t.Errorf("TLS version %#x", v)
		}
		conn.Close()
	}
}

// TestYamux has many streams on one connection.
func TestYamux(t *testing.T) {
	server := peer.Start(t, "yamux")
	session, err := yamux.Client(server.Dial(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	var streams sync.WaitGroup
	for i := range 64 {
		stream, err := session.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		// Close ends the direction that is written; the other one goes on.
		streams.Go(func() {
			if err := bounce(stream, i*10_000, stream.Close); err != nil {
				t.Errorf("stream %d: %v", i, err)
			}
		})
	}
	streams.Wait()
	if _, err := session.Ping(); err != nil {
		t.Error(err)
	}
}

// Arith is the service of TestRPC.
type Arith struct{}

// Multiply is its method.
func (Arith) Multiply(args [2]int, reply *int) error {
	*reply = args[0] * args[1]
	return nil
}

// TestRPC has many calls under way on one connection of net/rpc.
func TestRPC(t *testing.T) {
	server := peer.Start(t, "net/rpc")
	client := rpc.NewClient(server.Dial(t))
	defer client.Close()
	var calls sync.WaitGroup
	for i := range 200 {
		calls.Go(func() {
			var product int
			if err := client.Call("Arith.Multiply", [2]int{i, i}, &product); err != nil || product != i*i {
				t.Errorf("%d * %d = %d, %v", i, i, product, err)
			}
		})
	}
	calls.Wait()
}
