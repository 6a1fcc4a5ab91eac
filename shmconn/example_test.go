package shmconn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/shmconn/shmconn/shmconn"
)

// tempSocket returns the path of a socket file that does not exist yet, in a
// directory of its own that remove removes.
func tempSocket() (path string, remove func()) {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	return filepath.Join(dir, "app.sock"), func() { os.RemoveAll(dir) }
}

// A net/http server and client, of which nothing changes but who listens and
// who dials.
func Example() {
	path, remove := tempSocket()
	defer remove()

	// The server's process.
	l, err := shmconn.Listen("unix", path) // was net.Listen
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello from %s", r.URL.Path)
	})}
	go server.Serve(l)
	defer server.Close()

	// The client's process.
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(shmconn.Dialer).DialContext(ctx, "unix", path) // was net.Dialer
		},
	}}
	defer client.CloseIdleConnections()
	response, err := client.Get("http://app/greeting")
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(response.Status)
	fmt.Printf("%s\n", body)
	// Output:
	// 200 OK
	// hello from /greeting
}

// A client sends a request, says by CloseWrite that it is complete, and reads
// the answer up to its end.
func ExampleDial() {
	path, remove := tempSocket()
	defer remove()
	l, err := shmconn.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		defer conn.Close()
		request, err := io.ReadAll(conn)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprintf(conn, "%d bytes: %s", len(request), request)
	}()

	conn, err := shmconn.Dial("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "ping"); err != nil {
		log.Fatal(err)
	}
	// Plain unix sockets, which conn is where memory cannot be shared, have
	// this method too.
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		log.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", answer)
	// Output: 4 bytes: ping
}

// A connection is over shared memory exactly when it is a *Conn. With network
// "shm", Dial fails rather than return anything else.
func ExampleConn() {
	path, remove := tempSocket()
	defer remove()
	l, err := net.Listen("unix", path) // a server that knows nothing of shared memory
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()

	conn, err := shmconn.Dial("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	if c, ok := conn.(*shmconn.Conn); ok {
		fmt.Printf("shared memory with process %d\n", c.PeerCredentials().PID)
	} else {
		fmt.Println("plain unix socket")
	}
	// Output: plain unix socket
}

// A read gives up at its deadline, and the connection stays usable.
func ExampleConn_SetReadDeadline() {
	path, remove := tempSocket()
	defer remove()
	l, err := shmconn.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	conn, err := shmconn.Dial("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, err = conn.Read(make([]byte, 1))
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded))
	// Output: true
}

// The server side with limits, and with an eye on the clients that fail.
func ExampleListenConfig() {
	path, remove := tempSocket()
	defer remove()
	config := &shmconn.ListenConfig{
		Mode:             0o660,     // the group may connect too
		RingSize:         256 << 10, // each way, unless the client asks for another size
		MaxRingSize:      1 << 20,
		HandshakeTimeout: 2 * time.Second,
		OnError: func(c net.Conn, err error) {
			log.Printf("handshake failed: %v", err)
		},
	}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	fmt.Println("listening on network", l.Addr().Network())
	// Output: listening on network unix
}
