package sharedring

import (
	"context"
	"os"
	"reflect"
	"time"
)

// Receiver is the end of a queue that items come out of.
//
// Its methods may be called from several goroutines, but those that receive
// take turns, and one that waits keeps its turn: also a Try form waits for it.
// SetDeadline waits for nobody, and Close ends all waits and then waits for the
// operation in progress. A callback must not call methods of its own end other
// than the accessors of the files.
type Receiver[T any] struct{ end *end }

// NewReceiver makes a queue with room for at least capacity items, and its
// receiving end. See [NewSender].
func NewReceiver[T any](capacity int, opts ...Option) (*Receiver[T], error) {
	e, err := newEnd("new receiver", reflect.TypeFor[T](), capacity, nil, false, opts)
	if err != nil {
		return nil, err
	}
	return &Receiver[T]{e}, nil
}

// OpenReceiver attaches the receiving end to a queue that a sender has made,
// which may have sent already. See [OpenSender].
func OpenReceiver[T any](capacity int, memfd, emptySignal, fullSignal *os.File, opts ...Option) (*Receiver[T], error) {
	e, err := newEnd("open receiver", reflect.TypeFor[T](), capacity, &[3]*os.File{memfd, emptySignal, fullSignal}, false, opts)
	if err != nil {
		return nil, err
	}
	return &Receiver[T]{e}, nil
}

// Receive waits until there are items and receives as many as are there and fit
// into items, at least one. It returns how many. For an empty slice it returns
// 0 at once. The error is [os.ErrDeadlineExceeded], [os.ErrClosed], or one that
// wraps [ErrCorrupt]. There is no end of the stream: agree on one with the
// peer.
func (r *Receiver[T]) Receive(items []T) (int, error) {
	return r.ReceiveContext(context.Background(), items)
}

// ReceiveContext is Receive until ctx ends; then the error is that of ctx.
func (r *Receiver[T]) ReceiveContext(ctx context.Context, items []T) (int, error) {
	n, err := r.end.receive(ctx, bytesOf(items))
	return n, opError("receive", err)
}

// TryReceive receives as many items as are there and fit into items, possibly
// none, and returns how many. Remaining is what is left in the queue.
func (r *Receiver[T]) TryReceive(items []T) (int, Status, error) {
	r.end.mu.Lock()
	defer r.end.mu.Unlock()
	n, st, err := r.end.tryReceive(bytesOf(items))
	return n, st, opError("receive", err)
}

// ReceiveRaw calls f with the items up to the end of the ring, and drops the
// first n of them from the queue, where n is what f returns. If the queue is
// empty, f is not called. There may be more items at the start of the ring:
// Remaining tells. It does not wait.
//
// See [Raw] for what holds for memory that a hostile peer can write to. If f
// panics or returns what is not within 0 and its piece's length, nothing is
// dropped; the latter is an error that wraps [os.ErrInvalid].
func (r *Receiver[T]) ReceiveRaw(f func(piece Raw[T]) (n int)) (Status, error) {
	st, err := r.end.receivePiece(func(piece []byte) int { return f(Raw[T]{itemsOf[T](piece)}) })
	return st, opError("receive", err)
}

// ReceiveTrusted is [Receiver.ReceiveRaw] for peers that are trusted not to
// touch what they have sent: f can use the memory as any slice. It must not
// keep it.
func (r *Receiver[T]) ReceiveTrusted(f func(piece []T) (n int)) (Status, error) {
	st, err := r.end.receivePiece(func(piece []byte) int { return f(itemsOf[T](piece)) })
	return st, opError("receive", err)
}

// WaitReadable waits until there are items and returns how many. Its errors are
// those of [Receiver.ReceiveContext].
func (r *Receiver[T]) WaitReadable(ctx context.Context) (Status, error) {
	n, err := r.end.ready(ctx, r.end.queue.load)
	return Status{Remaining: n}, opError("wait", err)
}

// Len returns how many items can be received without waiting.
func (r *Receiver[T]) Len() (int, error) {
	n, err := r.end.available(r.end.queue.load)
	return n, opError("len", err)
}

// Capacity returns how many items fit into the queue. See [Sender.Capacity].
func (r *Receiver[T]) Capacity() int { return r.end.queue.length }

// SetDeadline bounds all waits. See [Sender.SetDeadline].
func (r *Receiver[T]) SetDeadline(t time.Time) error { return r.end.setDeadline(t) }

// Memfd returns the memory file, to be passed to the peer. This and the other
// files belong to the Receiver and are closed with it.
func (r *Receiver[T]) Memfd() *os.File { return r.end.memfd }

// EmptySignal returns the eventfd that the sender adds 1 to when it has sent
// into an empty queue. What [Sender.FullSignal] says of event loops holds for
// this one.
func (r *Receiver[T]) EmptySignal() *os.File { return r.end.empty }

// FullSignal returns the eventfd that this end adds 1 to when it has received
// from a full queue.
func (r *Receiver[T]) FullSignal() *os.File { return r.end.full }

// Close releases what the end holds. See [Sender.Close].
func (r *Receiver[T]) Close() error { return r.end.close() }
