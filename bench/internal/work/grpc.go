package work

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// GRPC does calls that carry Size bytes, from Callers goroutines over one
// connection, as gRPC does by itself. Unary calls answer with the bytes that
// they were sent. Streaming calls are client streams: a message an operation,
// and one answer at the end of the slice with the number of messages that the
// server has verified.
type GRPC struct {
	Size      int
	Callers   int
	Streaming bool
}

func (g GRPC) Name() string {
	kind := "unary"
	if g.Streaming {
		kind = "stream"
	}
	return fmt.Sprintf("grpc-%s/%s/%d", kind, SizeString(g.Size), g.Callers)
}

func (g GRPC) Op() string {
	if g.Streaming {
		return "message"
	}
	return "call"
}

func (g GRPC) Payload() int { return g.Size }

// The service, written out by hand because it needs no generated types: the
// well-known wrappers are messages enough.
const (
	grpcUnary  = "/bench.Bench/Echo"
	grpcStream = "/bench.Bench/Count"
)

var grpcService = grpc.ServiceDesc{
	ServiceName: "bench.Bench",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Echo",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			m := new(wrapperspb.BytesValue)
			return m, decode(m)
		},
	}},
	Streams: []grpc.StreamDesc{{
		StreamName:    "Count",
		ClientStreams: true,
		Handler:       func(_ any, stream grpc.ServerStream) error { return grpcCount(stream) },
	}},
}

// grpcCount verifies the messages of a stream, which are numbered from 0, and
// answers with their number.
func grpcCount(stream grpc.ServerStream) error {
	m := new(wrapperspb.BytesValue)
	for seq := uint64(0); ; seq++ {
		if err := stream.RecvMsg(m); err != nil {
			return err
		}
		last, err := checkPiece(m.Value, seq, 0, len(m.Value))
		if err != nil {
			return err
		}
		if last {
			return stream.SendMsg(wrapperspb.UInt64(seq + 1))
		}
	}
}

func (g GRPC) Serve(ln net.Listener) Server {
	s := &grpcServer{srv: grpc.NewServer(), done: make(chan error, 1)}
	s.srv.RegisterService(&grpcService, nil)
	go func() { s.done <- s.srv.Serve(ln) }()
	return s
}

type grpcServer struct {
	srv  *grpc.Server
	done chan error
}

func (s *grpcServer) Close() error {
	s.srv.Stop()
	return <-s.done
}

func (g GRPC) Open(dial Dial) (Client, error) {
	cc, err := grpc.NewClient("passthrough:///bench",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return dial() }))
	if err != nil {
		return nil, err
	}
	return &grpcClient{GRPC: g, cc: cc}, nil
}

type grpcClient struct {
	GRPC
	cc  *grpc.ClientConn
	seq atomic.Uint64 // of the next unary call of any caller
}

func (c *grpcClient) Run(d time.Duration, lat *Latency) (int64, error) {
	// A call that never ends would keep the slice from ending.
	ctx, cancel := context.WithTimeout(context.Background(), d+10*time.Second)
	defer cancel()
	if c.Streaming {
		return c.runStreams(ctx, d, lat)
	}
	var ops []func() error
	for range c.Callers {
		in, out := new(wrapperspb.BytesValue), wrapperspb.Bytes(NewMessage(c.Size))
		ops = append(ops, func() error {
			seq := c.seq.Add(1)
			Stamp(out.Value, seq)
			if err := c.cc.Invoke(ctx, grpcUnary, out, in); err != nil {
				return err
			}
			if len(in.Value) != c.Size {
				return fmt.Errorf("answer of %d bytes, want %d", len(in.Value), c.Size)
			}
			return Check(in.Value, seq)
		})
	}
	return repeatAll(d, lat, ops)
}

// runStreams runs one stream for each caller.
func (c *grpcClient) runStreams(ctx context.Context, d time.Duration, lat *Latency) (int64, error) {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex // guards what follows
		total int64
		first error
	)
	for range c.Callers {
		wg.Go(func() {
			mine := NewLatency()
			n, err := c.runStream(ctx, d, mine)
			mu.Lock()
			defer mu.Unlock()
			total += n
			lat.Merge(mine)
			if first == nil {
				first = err
			}
		})
	}
	wg.Wait()
	return total, first
}

func (c *grpcClient) runStream(ctx context.Context, d time.Duration, lat *Latency) (int64, error) {
	stream, err := c.cc.NewStream(ctx, &grpcService.Streams[0], grpcStream)
	if err != nil {
		return 0, err
	}
	out := wrapperspb.Bytes(NewMessage(c.Size))
	var seq uint64
	n, err := repeat(d, lat, func() error {
		Stamp(out.Value, seq)
		seq++
		return stream.SendMsg(out)
	})
	if err != nil {
		// The reason is what the server says.
		if recvErr := stream.RecvMsg(new(wrapperspb.UInt64Value)); recvErr != nil {
			err = recvErr
		}
		return n, err
	}
	stampLast(out.Value, seq)
	if err := stream.SendMsg(out); err != nil {
		return n, err
	}
	if err := stream.CloseSend(); err != nil {
		return n, err
	}
	count := new(wrapperspb.UInt64Value)
	if err := stream.RecvMsg(count); err != nil {
		return n, err
	}
	if count.Value != seq+1 {
		return n, fmt.Errorf("server has verified %d messages of %d", count.Value, seq+1)
	}
	return n + 1, nil
}

func (c *grpcClient) Close() error { return c.cc.Close() }
