package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// HTTP does GET requests whose answer is Size bytes, with net/http, over
// connections that are kept alive, from Callers goroutines at once.
type HTTP struct {
	Size    int
	Callers int
}

func (h HTTP) Name() string { return fmt.Sprintf("http/%s/%d", SizeString(h.Size), h.Callers) }
func (h HTTP) Op() string   { return "GET" }
func (h HTTP) Payload() int { return h.Size }

func (h HTTP) Serve(ln net.Listener) Server {
	bodies := sync.Pool{New: func() any { b := NewMessage(h.Size); return &b }}
	srv := &httpServer{done: make(chan error, 1)}
	srv.srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The path is the sequence number that the answer is stamped with.
		seq, err := strconv.ParseUint(r.URL.Path[1:], 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body := bodies.Get().(*[]byte)
		defer bodies.Put(body)
		Stamp(*body, seq)
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(h.Size))
		// A failed write is the client's to report.
		_, _ = w.Write(*body)
	})
	go func() { srv.done <- srv.srv.Serve(ln) }()
	return srv
}

type httpServer struct {
	srv  http.Server
	done chan error
}

func (s *httpServer) Close() error {
	s.srv.Close()
	if err := <-s.done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (h HTTP) Open(dial Dial) (Client, error) {
	c := &httpClient{}
	transport := &http.Transport{
		DialContext:         func(context.Context, string, string) (net.Conn, error) { return dial() },
		MaxIdleConns:        h.Callers,
		MaxIdleConnsPerHost: h.Callers,
		MaxConnsPerHost:     h.Callers,
		DisableCompression:  true,
	}
	c.client.Transport = transport
	for range h.Callers {
		body := make([]byte, h.Size)
		c.ops = append(c.ops, func() error { return c.get(body) })
	}
	return c, nil
}

type httpClient struct {
	client http.Client
	ops    []func() error
	seq    atomic.Uint64 // of the next request of any caller
}

// get does one request; body is where the caller keeps its answers.
func (c *httpClient) get(body []byte) error {
	seq := c.seq.Add(1)
	resp, err := c.client.Get("http://bench/" + strconv.FormatUint(seq, 10))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	if resp.ContentLength != int64(len(body)) {
		return fmt.Errorf("answer of %d bytes, want %d", resp.ContentLength, len(body))
	}
	if _, err := io.ReadFull(resp.Body, body); err != nil {
		return err
	}
	// The end of the body, so that the connection is used again.
	if n, err := resp.Body.Read(body[:0:0]); n != 0 || (err != nil && err != io.EOF) {
		return fmt.Errorf("after the body: %d bytes, %w", n, err)
	}
	return Check(body, seq)
}

func (c *httpClient) Run(d time.Duration, lat *Latency) (int64, error) {
	return repeatAll(d, lat, c.ops)
}

func (c *httpClient) Close() error {
	c.client.CloseIdleConnections()
	return nil
}
