package integration_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/shmconn/shmconn/integration/internal/peer"
)

// text is the only message of the service: there is no need to generate code.
type text = wrapperspb.StringValue

// http2Only is HTTP/2 without TLS, which streams in both directions need.
func http2Only() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

func init() {
	peer.Register("connect", func(l net.Listener, _ []string) error {
		mux := http.NewServeMux()
		mux.Handle("/shout.Service/Unary", connect.NewUnaryHandler("/shout.Service/Unary",
			func(_ context.Context, r *connect.Request[text]) (*connect.Response[text], error) {
				if r.Msg.Value == "" {
					return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("nothing to shout"))
				}
				return connect.NewResponse(shout(r.Msg)), nil
			}))
		mux.Handle("/shout.Service/Bidi", connect.NewBidiStreamHandler("/shout.Service/Bidi",
			func(_ context.Context, s *connect.BidiStream[text, text]) error {
				for {
					m, err := s.Receive()
					if errors.Is(err, io.EOF) {
						return nil
					}
					if err != nil {
						return err
					}
					if err := s.Send(shout(m)); err != nil {
						return err
					}
				}
			}))
		server := &http.Server{Handler: mux, Protocols: http2Only()}
		return server.Serve(l)
	})
}

func shout(m *text) *text { return wrapperspb.String(strings.ToUpper(m.Value)) }

// TestConnect makes calls of both kinds by the three protocols that connect-go
// speaks over HTTP/2.
func TestConnect(t *testing.T) {
	server := peer.Start(t, "connect")
	transport := &http.Transport{DialContext: server.DialContext, Protocols: http2Only()}
	defer transport.CloseIdleConnections()
	for name, options := range map[string][]connect.ClientOption{
		"connect":  nil,
		"grpc":     {connect.WithGRPC()},
		"grpc-web": {connect.WithGRPCWeb()},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := peer.Context(t)
			client := &http.Client{Transport: transport}
			unary := connect.NewClient[text, text](client, "http://server/shout.Service/Unary", options...)
			for _, size := range []int{1, 3 << 20} {
				answer, err := unary.CallUnary(ctx, connect.NewRequest(wrapperspb.String(strings.Repeat("a", size))))
				if err != nil {
					t.Fatal(err)
				}
				if answer.Msg.Value != strings.Repeat("A", size) {
					t.Errorf("answer of %d bytes, want %d", len(answer.Msg.Value), size)
				}
			}
			if _, err := unary.CallUnary(ctx, connect.NewRequest(&text{})); connect.CodeOf(err) != connect.CodeInvalidArgument {
				t.Errorf("bad call: %v", err)
			}

			stream := connect.NewClient[text, text](client, "http://server/shout.Service/Bidi", options...).CallBidiStream(ctx)
			for range 100 {
				if err := stream.Send(wrapperspb.String("ping")); err != nil {
					t.Fatal(err)
				}
				if m, err := stream.Receive(); err != nil || m.Value != "PING" {
					t.Fatalf("stream: %v, %v", m, err)
				}
			}
			if err := stream.CloseRequest(); err != nil {
				t.Error(err)
			}
			if _, err := stream.Receive(); !errors.Is(err, io.EOF) {
				t.Errorf("end of the stream: %v", err)
			}
			if err := stream.CloseResponse(); err != nil {
				t.Error(err)
			}
		})
	}
}
