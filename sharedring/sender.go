package sharedring

import (
	"context"
	"os"
	"reflect"
	"time"
)

// Sender is the end of a queue that items go into.
//
// Its methods may be called from several goroutines, but those that send take
// turns, and one that waits keeps its turn: also a Try form waits for it.
// SetDeadline waits for nobody, and Close ends all waits and then waits for the
// operation in progress. A callback must not call methods of its own end other
// than the accessors of the files.
type Sender[T any] struct{ end *end }

// NewSender makes a queue with room for at least capacity items, and its
// sending end. Memory is used as it is touched, up to what the capacity needs.
// Close frees what the end holds.
func NewSender[T any](capacity int, opts ...Option) (*Sender[T], error) {
	e, err := newEnd("new sender", reflect.TypeFor[T](), capacity, nil, true, opts)
	if err != nil {
		return nil, err
	}
	return &Sender[T]{e}, nil
}

// OpenSender attaches the sending end to a queue that a receiver has made. T
// and the capacity are the receiver's. The files stay the caller's, who may
// close them at once.
//
// The files may come from a peer that is not trusted. It must not have used
// its queue before, or used it with another sender: the position of either end
// starts at 0 and is in no file.
func OpenSender[T any](capacity int, memfd, emptySignal, fullSignal *os.File, opts ...Option) (*Sender[T], error) {
	e, err := newEnd("open sender", reflect.TypeFor[T](), capacity, &[3]*os.File{memfd, emptySignal, fullSignal}, true, opts)
	if err != nil {
		return nil, err
	}
	return &Sender[T]{e}, nil
}

// Send sends all items and waits for room as long as it takes. It returns how
// many it has sent, and an error if these are not all:
// [os.ErrDeadlineExceeded], [os.ErrClosed], or one that wraps [ErrCorrupt].
func (s *Sender[T]) Send(items []T) (int, error) {
	return s.SendContext(context.Background(), items)
}

// SendContext is Send until ctx ends; then the error is that of ctx.
func (s *Sender[T]) SendContext(ctx context.Context, items []T) (sent int, err error) {
	n, err := s.end.send(ctx, bytesOf(items))
	return n, opError("send", err)
}

// TrySend sends as many of the items as there is room for, possibly none, and
// returns how many. Remaining is the room that is left.
func (s *Sender[T]) TrySend(items []T) (int, Status, error) {
	s.end.mu.Lock()
	defer s.end.mu.Unlock()
	n, st, err := s.end.trySend(bytesOf(items))
	return n, st, opError("send", err)
}

// SendRaw calls f with the free memory up to the end of the ring, and sends the
// first n items of it, where n is what f returns. If the queue is full, f is
// not called. There may be more room at the start of the ring: Remaining tells.
// It does not wait.
//
// See [Raw] for what holds for memory that a hostile peer can write to. If f
// panics or returns what is not within 0 and its piece's length, nothing is
// sent; the latter is an error that wraps [os.ErrInvalid].
func (s *Sender[T]) SendRaw(f func(piece Raw[T]) (n int)) (Status, error) {
	st, err := s.end.sendPiece(func(piece []byte) int { return f(Raw[T]{itemsOf[T](piece)}) })
	return st, opError("send", err)
}

// SendTrusted is [Sender.SendRaw] for peers that are trusted to read only: f
// can use the memory as any slice. It must not keep it.
func (s *Sender[T]) SendTrusted(f func(piece []T) (n int)) (Status, error) {
	st, err := s.end.sendPiece(func(piece []byte) int { return f(itemsOf[T](piece)) })
	return st, opError("send", err)
}

// WaitWritable waits until there is room and returns how much. Its errors are
// those of [Sender.SendContext].
func (s *Sender[T]) WaitWritable(ctx context.Context) (Status, error) {
	n, err := s.end.ready(ctx, s.end.queue.free)
	return Status{Remaining: n}, opError("wait", err)
}

// Free returns how many items can be sent without waiting.
func (s *Sender[T]) Free() (int, error) {
	n, err := s.end.available(s.end.queue.free)
	return n, opError("free", err)
}

// Capacity returns how many items fit into the queue: what was asked for, and
// what the last page has room for. It is not what the peer is told, which is
// the number that was asked for.
func (s *Sender[T]) Capacity() int { return s.end.queue.length }

// SetDeadline bounds all waits, also one that is in progress, with
// [os.ErrDeadlineExceeded]. What need not wait is not bounded. The zero time
// means no deadline, as there is none at first.
func (s *Sender[T]) SetDeadline(t time.Time) error { return s.end.setDeadline(t) }

// Memfd returns the memory file, to be passed to the peer. This and the other
// files belong to the Sender and are closed with it.
func (s *Sender[T]) Memfd() *os.File { return s.end.memfd }

// EmptySignal returns the eventfd that this end adds 1 to when it has sent
// into an empty queue.
func (s *Sender[T]) EmptySignal() *os.File { return s.end.empty }

// FullSignal returns the eventfd that the receiver adds 1 to when it has
// received from a full queue. An event loop that has found the queue full waits
// for it to become readable, reads its 8 bytes and tries again. The methods
// that wait read it too: use either.
//
// The eventfd is in blocking mode if a Go end has made it, as the Rust crate
// needs it; the mode belongs to both processes and should be left alone.
func (s *Sender[T]) FullSignal() *os.File { return s.end.full }

// Close ends all waits with [os.ErrClosed], waits for the operation in
// progress and releases the memory and the files. The peer is not told. It can
// be called more than once.
func (s *Sender[T]) Close() error { return s.end.close() }
