package integration_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shmconn/shmconn/integration/internal/peer"
	"github.com/shmconn/shmconn/shmconn"
)

func init() {
	peer.Register("http", serveHTTP)
	peer.Register("reverse proxy", serveReverseProxy)
}

// serveHTTP serves until SIGTERM, and then what has begun. If it is given the
// name of a file, it leaves there how many requests have begun.
func serveHTTP(l net.Listener, args []string) error {
	var begun atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/upper", func(w http.ResponseWriter, r *http.Request) {
		begun.Add(1)
		b, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		io.WriteString(w, strings.ToUpper(string(b)))
	})
	mux.HandleFunc("/echo", upgradeEcho)
	if err := serveUntilTerminated(&http.Server{Handler: mux}, l); err != nil || len(args) == 0 {
		return err
	}
	return os.WriteFile(args[0], []byte(strconv.FormatInt(begun.Load(), 10)), 0o600)
}

// serveUntilTerminated has the server drain on SIGTERM.
func serveUntilTerminated(server *http.Server, l net.Listener) error {
	ctx := terminated()
	drained := make(chan error, 1)
	go func() {
		<-ctx.Done()
		drained <- server.Shutdown(context.Background())
	}()
	if err := server.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return <-drained
}

// upgradeEcho takes the connection over and sends everything back.
func upgradeEcho(w http.ResponseWriter, r *http.Request) {
	conn, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	io.Copy(conn, rw)
}

// serveReverseProxy stands before the server at args[0].
func serveReverseProxy(l net.Listener, args []string) error {
	target := &url.URL{Scheme: "http", Host: "back"}
	return http.Serve(l, &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(shmconn.Dialer).DialContext(ctx, "unix", args[0])
			},
		},
	})
}

// httpClient returns a client of server with connections of its own.
func httpClient(t testing.TB, server *peer.Server) *http.Client {
	tr := &http.Transport{DialContext: server.DialContext}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// upper asks for body in upper case.
func upper(c *http.Client, body string) error {
	resp, err := c.Post("http://server/upper", "text/plain", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || string(got) != strings.ToUpper(body) {
		return fmt.Errorf("%s: answer of %d bytes for %d: %w", resp.Status, len(got), len(body), err)
	}
	return nil
}

// TestHTTPShutdown stops a server under load: every request that has begun is
// answered in full, and the process ends.
func TestHTTPShutdown(t *testing.T) {
	count := peer.SocketPath(t)
	server := peer.Start(t, "http", count)
	drainHTTP(t, server, count)
}

// drainHTTP stops server, which serves "http", under load. It leaves in the
// file count how many requests it had.
func drainHTTP(t *testing.T, server *peer.Server, count string) {
	t.Helper()
	var answered atomic.Int64
	var load sync.WaitGroup
	for range 8 {
		client := httpClient(t, server)
		load.Go(func() {
			for upper(client, strings.Repeat("x", 10_000)) == nil {
				answered.Add(1)
			}
		})
	}
	peer.Eventually(t, "load", func() bool { return answered.Load() > 100 })
	server.Terminate(t)
	load.Wait()
	server.Wait(t)
	begun, err := os.ReadFile(count)
	if err != nil {
		t.Fatal(err)
	}
	if got := strconv.FormatInt(answered.Load(), 10); got != string(begun) {
		t.Errorf("%s requests begun, %s answered", begun, got)
	}
}

// TestReverseProxy has httputil's proxy between client and server, three
// processes with shared memory between each two, for requests and for a
// connection that is upgraded.
func TestReverseProxy(t *testing.T) {
	back := peer.Start(t, "http")
	front := peer.Start(t, "reverse proxy", back.Path)
	client := httpClient(t, front)
	for _, size := range []int{0, 1, 10_000, 1 << 20, 9 << 20} {
		if err := upper(client, strings.Repeat("a", size)); err != nil {
			t.Error(err)
		}
	}

	request, err := http.NewRequestWithContext(peer.Context(t), "GET", "http://front/echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "echo")
	resp, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	upgraded, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatalf("not upgraded: %s", resp.Status)
	}
	lines := bufio.NewReader(upgraded)
	for i := range 100 {
		line := strings.Repeat("y", 100*i) + "\n"
		if _, err := io.WriteString(upgraded, line); err != nil {
			t.Fatal(err)
		}
		if got, err := lines.ReadString('\n'); err != nil || got != line {
			t.Fatalf("%d bytes come back, %v; want %d", len(got), err, len(line))
		}
	}
}
