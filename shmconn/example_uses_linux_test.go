package shmconn_test

import (
	"context"
	"encoding/json"
	"expvar"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"

	"github.com/shmconn/shmconn/shmconn"
)

// transportTo returns an http.Transport that reaches the server at path,
// whatever the host of the URL.
func transportTo(path string) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(shmconn.Dialer).DialContext(ctx, "unix", path)
	}}
}

// get prints the body at address.
func get(client *http.Client, address string) {
	response, err := client.Get(address)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.TrimSpace(string(body)))
}

// HTTP/2 without TLS, as between the containers of a pod: both ends say that they
// speak nothing else.
func Example_http2() {
	path, remove := tempSocket()
	defer remove()
	l, err := shmconn.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "asked by", r.Proto)
	})}
	go server.Serve(l)
	defer server.Close()

	transport := transportTo(path)
	transport.Protocols = protocols
	defer transport.CloseIdleConnections()
	get(&http.Client{Transport: transport}, "http://app/")
	// Output: asked by HTTP/2.0
}

// TLS runs over shared memory as over any connection. The certificate here is
// that of package httptest, for the name example.com.
func Example_tls() {
	path, remove := tempSocket()
	defer remove()
	l, err := shmconn.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "TLS:", r.TLS != nil)
	}))
	server.Listener.Close()
	server.Listener = l
	server.StartTLS()
	defer server.Close()

	client := server.Client()
	client.Transport.(*http.Transport).DialContext = transportTo(path).DialContext
	get(client, "https://example.com/")
	// Output: TLS: true
}

// A reverse proxy in front of a server on the same machine: only its transport
// changes.
func Example_reverseProxy() {
	path, remove := tempSocket()
	defer remove()
	l, err := shmconn.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	backend := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "backend was asked for", r.URL.Path)
	})}
	go backend.Serve(l)
	defer backend.Close()

	transport := transportTo(path)
	defer transport.CloseIdleConnections()
	front := httptest.NewServer(&httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "backend"})
		},
	})
	defer front.Close()
	get(front.Client(), front.URL+"/greeting")
	// Output: backend was asked for /greeting
}

// A service that systemd starts gets the listening socket as file 3, and
// coreos/go-systemd's activation.Listeners makes a net.Listener of it. Here some
// other listener's socket takes its place.
func ExampleNewListener() {
	path, remove := tempSocket()
	defer remove()
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		log.Fatal(err)
	}
	defer socket.Close()
	file, err := socket.File() // os.NewFile(3, "LISTEN_FD_3")
	if err != nil {
		log.Fatal(err)
	}
	inner, err := net.FileListener(file)
	if err != nil {
		log.Fatal(err)
	}
	file.Close()

	l := shmconn.NewListener(inner, nil)
	defer l.Close()
	client, err := shmconn.Dial("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	_, shared := server.(*shmconn.Conn)
	fmt.Println("over shared memory:", shared)
	// Output: over shared memory: true
}

// One client for servers here and elsewhere: whatever has a socket file in a
// directory that all of them know is local.
func ExampleDialer_localPath() {
	path, remove := tempSocket()
	defer remove()
	l, err := shmconn.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello from", r.Host)
	})}
	go server.Serve(l)
	defer server.Close()

	dialer := &shmconn.Dialer{LocalPath: func(network, address string) (string, bool) {
		local := strings.TrimSuffix(path, "app.sock") + strings.TrimSuffix(address, ":80") + ".sock"
		_, err := os.Stat(local)
		return local, err == nil
	}}
	transport := &http.Transport{DialContext: dialer.DialContext}
	defer transport.CloseIdleConnections()
	get(&http.Client{Transport: transport}, "http://app/")
	// Output: hello from app
}

// What a listener carries, for package expvar, which serves it as JSON at
// /debug/vars.
func ExampleListener_Stats() {
	path, remove := tempSocket()
	defer remove()
	l, err := shmconn.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	expvar.Publish("shmconn", expvar.Func(func() any { return l.(*shmconn.Listener).Stats() }))

	c, err := shmconn.Dial("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	fmt.Fprint(s, "hello")

	var stats shmconn.ListenerStats
	if err := json.Unmarshal([]byte(expvar.Get("shmconn").String()), &stats); err != nil {
		log.Fatal(err)
	}
	fmt.Println(stats.Conns, "connection,", stats.BytesWritten, "bytes written")
	// Output: 1 connection, 5 bytes written
}
