package listener_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/shmconn/shmconn/listener"
)

// TestHTTP runs a standard server over a listener whose clients say hello,
// among silent and bad ones, and shuts it down.
func TestHTTP(t *testing.T) {
	noLeaks(t)
	l := newListener(t, hello, listener.Config{})
	srv := &http.Server{
		Handler:  http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) }),
		ErrorLog: log.New(io.Discard, "", 0),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()

	tr := &http.Transport{
		MaxIdleConnsPerHost: 8,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, "unix", l.Addr().String())
			if err == nil {
				_, err = io.WriteString(c, "h")
			}
			return c, err
		},
	}
	client := &http.Client{Transport: tr, Timeout: patience}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				path := fmt.Sprintf("/%d/%d", i, j)
				res, err := client.Get("http://unix" + path)
				if err != nil {
					t.Errorf("Get: %v", err)
					return
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || string(body) != path {
					t.Errorf("Get %s: %q, %v", path, body, err)
				}
				if j%5 == 0 {
					tr.CloseIdleConnections()
				}
			}
		})
	}
	for range 10 {
		dial(t, l, "")
		dial(t, l, "g")
	}
	wg.Wait()
	tr.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := receive(t, served); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve: %v", err)
	}
}
