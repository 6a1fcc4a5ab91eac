package sharedring

// Raw is a piece of the queue's own memory, given to the callbacks of
// [Sender.SendRaw] and [Receiver.ReceiveRaw] and valid until they return.
//
// The peer can change the memory at any time, so what was read once may read
// differently a moment later: read any item at most once, and check the copy.
// Nor can what a sender has written be relied on when it is read back.
type Raw[T any] struct{ items []T }

// Len returns the number of items.
func (r Raw[T]) Len() int { return len(r.items) }

// Load returns a copy of item i.
func (r Raw[T]) Load(i int) T { return r.items[i] }

// Store writes item i.
func (r Raw[T]) Store(i int, item T) { r.items[i] = item }

// CopyTo copies items from the start of the piece to dst and returns how many:
// the smaller length.
func (r Raw[T]) CopyTo(dst []T) int { return copyBytes(bytesOf(dst), bytesOf(r.items)) / itemSize[T]() }

// CopyFrom copies items from src to the start of the piece and returns how
// many: the smaller length.
func (r Raw[T]) CopyFrom(src []T) int {
	return copyBytes(bytesOf(r.items), bytesOf(src)) / itemSize[T]()
}

// Slice returns the part [from:to) of the piece.
func (r Raw[T]) Slice(from, to int) Raw[T] { return Raw[T]{r.items[from:to:to]} }

// Bytes returns the piece as bytes, in the byte order of the machine. It is for
// consumers that touch each byte once, as hashing does or writing to a file.
func (r Raw[T]) Bytes() []byte { return bytesOf(r.items) }
