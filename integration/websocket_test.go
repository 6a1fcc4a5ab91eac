package integration_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"github.com/shmconn/shmconn/integration/internal/peer"
	"github.com/shmconn/shmconn/shmconn"
)

func init() {
	peer.Register("websocket", func(l net.Listener, _ []string) error {
		mux := http.NewServeMux()
		mux.HandleFunc("/coder", echoCoder)
		mux.HandleFunc("/gorilla", echoGorilla)
		return http.Serve(l, mux)
	})
}

// largestMessage is more than fits into the ring at once.
const largestMessage = 5 << 20

func echoCoder(w http.ResponseWriter, r *http.Request) {
	c, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: coder.CompressionContextTakeover})
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(largestMessage)
	for {
		kind, message, err := c.Read(r.Context())
		if err != nil {
			return
		}
		if err := c.Write(r.Context(), kind, message); err != nil {
			return
		}
	}
}

func echoGorilla(w http.ResponseWriter, r *http.Request) {
	upgrader := gorilla.Upgrader{EnableCompression: true}
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	if _, ok := c.NetConn().(*shmconn.Conn); !ok {
		return
	}
	for {
		kind, message, err := c.ReadMessage()
		if err != nil {
			return
		}
		if err := c.WriteMessage(kind, message); err != nil {
			return
		}
	}
}

// messages are of all kinds of length that the protocol knows.
func messages() [][]byte {
	var all [][]byte
	for _, size := range []int{0, 1, 125, 126, 65535, 65536, largestMessage} {
		all = append(all, bytes.Repeat([]byte("w"), size))
	}
	return all
}

// TestWebSocket connects each of two implementations to both.
func TestWebSocket(t *testing.T) {
	server := peer.Start(t, "websocket")
	for _, path := range []string{"/coder", "/gorilla"} {
		url := "ws://server" + path
		t.Run("coder to "+path, func(t *testing.T) { talkCoder(t, server, url) })
		t.Run("gorilla to "+path, func(t *testing.T) { talkGorilla(t, server, url) })
	}
}

func talkCoder(t *testing.T, server *peer.Server, url string) {
	ctx := peer.Context(t)
	c, _, err := coder.Dial(ctx, url, &coder.DialOptions{
		HTTPClient:      httpClient(t, server),
		CompressionMode: coder.CompressionContextTakeover,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	c.SetReadLimit(largestMessage)
	for _, message := range messages() {
		for _, kind := range []coder.MessageType{coder.MessageText, coder.MessageBinary} {
			if err := c.Write(ctx, kind, message); err != nil {
				t.Fatal(err)
			}
			gotKind, got, err := c.Read(ctx)
			if err != nil || gotKind != kind || !bytes.Equal(got, message) {
				t.Fatalf("%d bytes of %v come back, %v; want %d of %v", len(got), gotKind, err, len(message), kind)
			}
		}
	}
	pong := make(chan error, 1)
	go func() { pong <- c.Ping(ctx) }()
	read, cancel := context.WithCancel(ctx)
	go func() {
		if err := <-pong; err != nil {
			t.Error(err)
		}
		cancel()
	}()
	c.Read(read) // a ping is answered to a reader only
}

func talkGorilla(t *testing.T, server *peer.Server, url string) {
	dialer := gorilla.Dialer{NetDialContext: server.DialContext, EnableCompression: true}
	c, _, err := dialer.DialContext(peer.Context(t), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(peer.Patience))
	for _, message := range messages() {
		for _, kind := range []int{gorilla.TextMessage, gorilla.BinaryMessage} {
			if err := c.WriteMessage(kind, message); err != nil {
				t.Fatal(err)
			}
			gotKind, got, err := c.ReadMessage()
			if err != nil || gotKind != kind || !bytes.Equal(got, message) {
				t.Fatalf("%d bytes of %v come back, %v; want %d of %v", len(got), gotKind, err, len(message), kind)
			}
		}
	}
	bye := gorilla.FormatCloseMessage(gorilla.CloseNormalClosure, "bye")
	if err := c.WriteMessage(gorilla.CloseMessage, bye); err != nil {
		t.Error(err)
	}
	if _, _, err := c.ReadMessage(); !gorilla.IsCloseError(err, gorilla.CloseNormalClosure) {
		t.Errorf("after the farewell: %v", err)
	}
}
