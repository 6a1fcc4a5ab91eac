package shmconn_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/rpc"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shmconn/shmconn/shmconn"
)

// httpClient returns an HTTP client whose connections all go to path, and counts
// them. It requires shared memory.
func httpClient(t testing.TB, path string, adjust func(*http.Transport)) (*http.Client, *atomic.Int64) {
	var dials atomic.Int64
	tr := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			dials.Add(1)
			return new(shmconn.Dialer).DialContext(ctx, "shm", path)
		},
	}
	if adjust != nil {
		adjust(tr)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}, &dials
}

// serveHTTP serves until the end of the test.
func serveHTTP(t testing.TB, srv *http.Server) (path string) {
	t.Helper()
	l, path := listen(t, "unix", shmconn.ListenConfig{})
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return path
}

// upper answers with the body in upper case, and says how it was reached.
func upper(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Proto", r.Proto)
	w.Header().Set("Remote", r.RemoteAddr)
	w.Write(bytes.ToUpper(b))
}

// post asserts that upper has answered.
func post(t testing.TB, c *http.Client, url, body string) *http.Response {
	t.Helper()
	resp, err := c.Post(url, "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || string(got) != strings.ToUpper(body) {
		t.Fatalf("%d bytes for %d: %q, %v", len(got), len(body), resp.Status, err)
	}
	return resp
}

// TestHTTP keeps one connection for all requests, of every size.
func TestHTTP(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	path := serveHTTP(t, &http.Server{Handler: http.HandlerFunc(upper)})
	c, dials := httpClient(t, path, nil)
	for _, size := range []int{0, 1, 100, 4096, 100_000, 9 << 20} {
		resp := post(t, c, "http://unix/", strings.Repeat("a", size))
		if got := resp.Header.Get("Remote"); got != "@" {
			t.Errorf("remote address is %q, want %q", got, "@")
		}
	}
	if n := dials.Load(); n != 1 {
		t.Errorf("%d connections, want keep-alive to make it one", n)
	}
}

// TestHTTPCancel gives up a request whose handler waits for just that, by the
// background read of one byte.
func TestHTTPCancel(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	started, gone := make(chan struct{}), make(chan struct{})
	path := serveHTTP(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
		close(gone)
	})})
	c, _ := httpClient(t, path, nil)
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "GET", "http://unix/", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-started
		cancel()
	}()
	if _, err := c.Do(req); !errors.Is(err, context.Canceled) {
		t.Errorf("request: %v", err)
	}
	<-gone
}

// TestHTTPUpgrade hijacks the connection at both ends.
func TestHTTPUpgrade(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	path := serveHTTP(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if _, ok := conn.(*shmconn.Conn); !ok {
			t.Errorf("hijacked a %T", conn)
		}
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		rw.Flush()
		io.Copy(conn, rw)
	})})
	c, _ := httpClient(t, path, nil)
	req, err := http.NewRequest("GET", "http://unix/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	c.Timeout = 0 // which would hide the body's Write
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	rw := resp.Body.(io.ReadWriteCloser)
	defer rw.Close()
	lines := bufio.NewReader(rw)
	for i := range 100 {
		fmt.Fprintln(rw, "line", i)
		if s, err := lines.ReadString('\n'); err != nil || s != fmt.Sprintln("line", i) {
			t.Fatalf("got %q, %v", s, err)
		}
	}
}

// TestHTTP2 runs many streams over one connection, without TLS.
func TestHTTP2(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	path := serveHTTP(t, &http.Server{Handler: http.HandlerFunc(upper), Protocols: &h2})
	c, dials := httpClient(t, path, func(tr *http.Transport) { tr.Protocols = &h2 })
	post(t, c, "http://unix/", "first, for the others to share its connection")
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			resp, err := c.Post("http://unix/", "text/plain", strings.NewReader(strings.Repeat("x", i*5000)))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			n, err := io.Copy(io.Discard, resp.Body)
			if err != nil || n != int64(i)*5000 || resp.Header.Get("Proto") != "HTTP/2.0" {
				t.Errorf("%d bytes, %v by %s", n, err, resp.Header.Get("Proto"))
			}
		})
	}
	wg.Wait()
	if n := dials.Load(); n != 1 {
		t.Errorf("%d connections, want one", n)
	}
}

// TestTLS runs on top, for HTTP and bare.
func TestTLS(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	donor := httptest.NewTLSServer(nil) // has a certificate and who trusts it
	defer donor.Close()
	clientConfig := donor.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	clientConfig.ServerName = "example.com"
	l, path := listen(t, "shm", shmconn.ListenConfig{})
	srv := &http.Server{Handler: http.HandlerFunc(upper)}
	served := make(chan error, 1)
	go func() {
		served <- srv.Serve(tls.NewListener(l, &tls.Config{Certificates: donor.TLS.Certificates}))
	}()
	defer func() {
		srv.Close()
		<-served
	}()
	c, _ := httpClient(t, path, func(tr *http.Transport) { tr.TLSClientConfig = clientConfig })
	resp := post(t, c, "https://example.com/", strings.Repeat("secret ", 10_000))
	if resp.TLS == nil {
		t.Error("no TLS")
	}

	raw := dial(t, "shm", path)
	conn := tls.Client(raw, clientConfig)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc")
	got, err := io.ReadAll(conn)
	if err != nil || !strings.HasSuffix(string(got), "\r\n\r\nABC") {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestShutdown stops a server under load: every request is either answered in
// full or not begun.
func TestShutdown(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	l, path := listen(t, "unix", shmconn.ListenConfig{})
	var begun, answered atomic.Int64
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun.Add(1)
		upper(w, r)
	})}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	var wg sync.WaitGroup
	for range 8 {
		c, _ := httpClient(t, path, nil)
		wg.Go(func() {
			for {
				resp, err := c.Post("http://unix/", "text/plain", strings.NewReader(strings.Repeat("x", 10_000)))
				if err != nil {
					return
				}
				n, err := io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err != nil || n != 10_000 {
					t.Errorf("answer of %d bytes, %v", n, err)
					return
				}
				answered.Add(1)
			}
		})
	}
	eventually(t, "load", func() bool { return answered.Load() > 100 })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if err := <-served; err != http.ErrServerClosed {
		t.Errorf("serve: %v", err)
	}
	wg.Wait()
	if begun.Load() != answered.Load() {
		t.Errorf("%d requests begun, %d answered", begun.Load(), answered.Load())
	}
}

// TestReverseProxy has one server in front of another, both in shared memory.
func TestReverseProxy(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	back := serveHTTP(t, &http.Server{Handler: http.HandlerFunc(upper)})
	backClient, _ := httpClient(t, back, nil)
	target, err := url.Parse("http://unix/")
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: backClient.Transport,
	}
	front := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Or else net/http closes the request's body as soon as an answer is
		// begun, and the proxy, which may be about to see the body's end, gives
		// up its connection: over plain unix sockets as well, in one of some
		// thousand requests on a busy machine.
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		proxy.ServeHTTP(w, r)
	})
	c, _ := httpClient(t, serveHTTP(t, &http.Server{Handler: front}), nil)
	for range 20 {
		post(t, c, "http://unix/", strings.Repeat("through ", 20_000))
	}
}

// Arith is the service of TestRPC.
type Arith struct{}

// Multiply is its method.
func (Arith) Multiply(args [2]int, reply *int) error {
	*reply = args[0] * args[1]
	return nil
}

// TestRPC multiplexes calls with net/rpc.
func TestRPC(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	srv := rpc.NewServer()
	if err := srv.Register(Arith{}); err != nil {
		t.Fatal(err)
	}
	near, far := pair(t, 4096)
	served := make(chan struct{})
	go func() {
		defer close(served)
		srv.ServeConn(far)
	}()
	c := rpc.NewClient(near)
	var calls sync.WaitGroup
	for i := range 100 {
		calls.Go(func() {
			var product int
			if err := c.Call("Arith.Multiply", [2]int{i, i}, &product); err != nil || product != i*i {
				t.Errorf("%d * %d = %d, %v", i, i, product, err)
			}
		})
	}
	calls.Wait()
	c.Close()
	<-served
}
