package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// bufferSize is what one read of a file or of a response body asks for, in bytes. Shared memory
// gains more from large reads than a socket does: there is no system call to fill them.
const bufferSize = 256 << 10

// A pass fetches a tree once over one carrier.
type pass struct {
	carrier string // what must carry every connection
	dial    func(context.Context) (net.Conn, error)
}

// fetch gets every file of t over at most the given number of connections, compares it with what is
// on disk and prints how it went. It returns the first failure.
func (p *pass) fetch(ctx context.Context, t *tree, workers int) error {
	var dialed atomic.Int64
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := p.dial(ctx)
			if err != nil {
				return nil, err
			}
			if got := carrierOf(conn); got != p.carrier {
				conn.Close()
				return nil, fmt.Errorf("connected over %s instead of %s", got, p.carrier)
			}
			dialed.Add(1)
			return conn, nil
		},
		// Without this, all but two connections would be closed after each response.
		MaxIdleConnsPerHost:   workers,
		MaxConnsPerHost:       workers,
		ResponseHeaderTimeout: 30 * time.Second,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	progress := startProgress(p.carrier)
	defer progress.stop()
	start := time.Now()
	var next atomic.Int64 // index of the next file that nobody has taken
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			buf := make([]byte, bufferSize)
			for ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= int64(len(t.files)) {
					return
				}
				if err := p.get(ctx, client, t.files[i], buf); err != nil {
					cancel(fmt.Errorf("%s: %s: %w", p.carrier, t.files[i].name, err))
					return
				}
				progress.done.Add(1)
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	seconds := time.Since(start).Seconds()
	progress.stop()
	fmt.Printf("%-13s  %d files, %.1f MB in %.2f s: %.0f requests/s, %.0f MB/s, connections: %d, SHA-256: all equal\n",
		p.carrier, len(t.files), megabytes(t.bytes), seconds,
		float64(len(t.files))/seconds, megabytes(t.bytes)/seconds, dialed.Load())
	return nil
}

// get fetches one file through buf and compares it with what is on disk.
func (p *pass) get(ctx context.Context, client *http.Client, want file, buf []byte) error {
	// The host is never resolved, as the transport dials the socket whatever it is called.
	u := url.URL{Scheme: "http", Host: "quickstart", Path: "/" + want.name}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answered %s", resp.Status)
	}
	if got := resp.Header.Get(carrierHeader); got != p.carrier {
		return fmt.Errorf("the server was reached over %q instead of %q", got, p.carrier)
	}
	// Reading to the end is also what lets the connection be used again.
	got, err := hash(want.name, resp.Body, buf)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("differs from the file on disk: %d bytes with SHA-256 %x, on disk %d bytes with %x",
			got.size, got.sum, want.size, want.sum)
	}
	return nil
}
