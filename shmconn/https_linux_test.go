package shmconn_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shmconn/shmconn/shmconn"
)

// TestServeTLS has net/http itself set up TLS, and the ends agree on HTTP/2 or
// on HTTP/1.1 by it.
func TestServeTLS(t *testing.T) {
	donor := httptest.NewTLSServer(nil) // has a certificate and who trusts it
	defer donor.Close()
	for _, h2 := range []bool{false, true} {
		want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[h2]
		t.Run(want, func(t *testing.T) {
			noLeaks(t)
			watchdog(t, patience)
			l, path := listen(t, "shm", shmconn.ListenConfig{})
			srv := &http.Server{Handler: http.HandlerFunc(upper), TLSConfig: donor.TLS.Clone()}
			srv.TLSConfig.NextProtos = nil // up to net/http
			served := make(chan error, 1)
			go func() { served <- srv.ServeTLS(l, "", "") }()
			defer func() {
				srv.Close()
				<-served
			}()
			c, dials := httpClient(t, path, func(tr *http.Transport) {
				tr.TLSClientConfig = donor.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
				tr.ForceAttemptHTTP2 = h2
			})
			for range 3 {
				resp := post(t, c, "https://example.com/", strings.Repeat("secret ", 50_000))
				if got := resp.Header.Get("Proto"); got != want || resp.TLS == nil {
					t.Errorf("served by %s, TLS %v; want %s", got, resp.TLS != nil, want)
				}
			}
			if n := dials.Load(); n != 1 {
				t.Errorf("%d connections, want keep-alive to make it one", n)
			}
		})
	}
}

// TestHTTPTimeouts has a server end connections that are idle or silent, which
// it does by deadlines. The client dials again.
func TestHTTPTimeouts(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	ended := make(chan struct{}, 10)
	path := serveHTTP(t, &http.Server{
		Handler:           http.HandlerFunc(upper),
		ReadHeaderTimeout: 50 * time.Millisecond,
		IdleTimeout:       50 * time.Millisecond,
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				ended <- struct{}{}
			}
		},
	})
	silent := dial(t, "shm", path)
	if n, err := silent.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("a client that says nothing reads %d bytes, %v; want EOF", n, err)
	}
	<-ended
	c, dials := httpClient(t, path, nil)
	for n := int64(1); n <= 3; n++ {
		resp, err := c.Get("http://unix/") // which the client may repeat
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		<-ended
		if got := dials.Load(); got < n {
			t.Errorf("%d connections after %d were closed as idle", got, n)
		}
	}
}

// TestHTTPContinue has the client wait for the server's word before it sends a
// body, and the server refuse one.
func TestHTTPContinue(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	path := serveHTTP(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		upper(w, r)
	})})
	c, _ := httpClient(t, path, func(tr *http.Transport) { tr.ExpectContinueTimeout = patience })
	for _, test := range []struct {
		path string
		code int
		read bool
	}{{"/", http.StatusOK, true}, {"/refuse", http.StatusForbidden, false}} {
		body := &countingReader{r: strings.NewReader(strings.Repeat("x", 1<<20))}
		req, err := http.NewRequest("POST", "http://unix"+test.path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Expect", "100-continue")
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Error(err)
		}
		resp.Body.Close()
		if resp.StatusCode != test.code || (body.n.Load() > 0) != test.read {
			t.Errorf("%s: %s, %d bytes of the body read", test.path, resp.Status, body.n.Load())
		}
	}
}

// countingReader counts what is read.
type countingReader struct {
	r io.Reader
	n atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
