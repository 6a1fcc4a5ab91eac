package integration_test

import (
	"bytes"
	"net"
	"sync"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/shmconn/shmconn/integration/internal/peer"
	"github.com/shmconn/shmconn/shmconn"
)

func init() {
	peer.Register("fasthttp", func(l net.Listener, _ []string) error {
		server := &fasthttp.Server{
			MaxRequestBodySize: 16 << 20,
			Handler: func(ctx *fasthttp.RequestCtx) {
				if _, ok := ctx.Conn().(*shmconn.Conn); !ok {
					ctx.Error("not in shared memory", fasthttp.StatusInternalServerError)
					return
				}
				ctx.Write(bytes.ToUpper(ctx.PostBody()))
			},
		}
		ctx := terminated()
		go func() {
			<-ctx.Done()
			server.Shutdown()
		}()
		return server.Serve(l)
	})
}

func TestFasthttp(t *testing.T) {
	server := peer.Start(t, "fasthttp")
	client := &fasthttp.HostClient{
		Addr: "server",
		Dial: func(string) (net.Conn, error) { return shmconn.Dial("unix", server.Path) },
	}
	var load sync.WaitGroup
	for size := 1; size <= 8<<20; size *= 8 {
		load.Go(func() {
			request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
			request.Header.SetMethod("POST")
			request.SetRequestURI("http://server/")
			request.SetBody(bytes.Repeat([]byte("a"), size))
			if err := client.DoTimeout(request, response, peer.Patience); err != nil {
				t.Error(err)
				return
			}
			if want := bytes.Repeat([]byte("A"), size); response.StatusCode() != 200 || !bytes.Equal(response.Body(), want) {
				t.Errorf("status %d, %d bytes for %d", response.StatusCode(), len(response.Body()), size)
			}
		})
	}
	load.Wait()
	client.CloseIdleConnections()
	server.Terminate(t)
}
