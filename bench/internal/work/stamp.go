package work

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
)

// A message is size bytes of a fixed pattern with stamps written over it: 8
// bytes at offset 0, at every multiple of stampEvery, and at the end. A stamp
// depends on the message's sequence number and on its own offset, so that a
// lost, repeated, stale or shifted piece of a page or more is always seen. On
// every fullEvery-th message all the bytes between the stamps are compared
// with the pattern as well. Stamps cost a few nanoseconds for a message of a
// page or less and under one percent of the copying beyond, which is why not
// every byte of every message is summed: that would measure the sum.
const (
	stampSize  = 8
	stampEvery = 4096
	fullEvery  = 64
)

// lastMark changes the first stamp of the last message of a slice of a
// stream.
const lastMark = 0x5bd1e995_9d1e5b95

// MaxSize is the largest message in bytes.
const MaxSize = 8 << 20

var errShort = errors.New("message shorter than a stamp")

var pattern = sync.OnceValue(func() []byte {
	p := make([]byte, MaxSize)
	x := uint64(0x9e3779b97f4a7c15)
	for i := 0; i < len(p); i += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		binary.LittleEndian.PutUint64(p[i:], x)
	}
	return p
})

// NewMessage returns a message of size bytes without stamps. Size is at least
// 8 and at most MaxSize.
func NewMessage(size int) []byte { return bytes.Clone(pattern()[:size]) }

func stampOf(seq uint64, offset int) uint64 {
	return (seq+1)*0x9e3779b97f4a7c15 ^ uint64(offset)*0xff51afd7ed558ccd
}

// Stamp makes b the message with the given sequence number. The pattern
// between the stamps is taken to be there.
func Stamp(b []byte, seq uint64) {
	for off := 0; off+stampSize <= len(b); off += stampEvery {
		binary.LittleEndian.PutUint64(b[off:], stampOf(seq, off))
	}
	if off := len(b) - stampSize; off > 0 {
		binary.LittleEndian.PutUint64(b[off:], stampOf(seq, off))
	}
}

// stampLast is Stamp for the last message of a slice.
func stampLast(b []byte, seq uint64) {
	Stamp(b, seq)
	binary.LittleEndian.PutUint64(b, stampOf(seq, 0)^lastMark)
}

// Check verifies a whole message.
func Check(b []byte, seq uint64) error {
	last, err := checkPiece(b, seq, 0, len(b))
	if err == nil && last {
		err = fmt.Errorf("message %d: marked as the last", seq)
	}
	return err
}

// checkPiece verifies the bytes from offset of the message of size bytes, and
// reports whether it is marked as the last. Offset is a multiple of
// stampEvery, and a piece that does not reach the end of the message has a
// length that is one.
func checkPiece(b []byte, seq uint64, offset, size int) (last bool, err error) {
	if len(b) < stampSize {
		return false, errShort
	}
	for i := 0; i+stampSize <= len(b); i += stampEvery {
		got, want := binary.LittleEndian.Uint64(b[i:]), stampOf(seq, offset+i)
		if got == want {
			continue
		}
		if offset+i == 0 && got == want^lastMark {
			last = true
			continue
		}
		return false, stampError(seq, offset+i, got)
	}
	end := len(b)
	if offset+len(b) == size && end > stampSize {
		end -= stampSize
		got, want := binary.LittleEndian.Uint64(b[end:]), stampOf(seq, offset+end)
		if got != want {
			return false, stampError(seq, offset+end, got)
		}
	}
	if seq%fullEvery == 0 {
		return last, checkPattern(b[:end], seq, offset)
	}
	return last, nil
}

// checkPattern compares what lies between the stamps.
func checkPattern(b []byte, seq uint64, offset int) error {
	want := pattern()[offset:]
	for i := 0; i < len(b); i += stampEvery {
		from, to := min(i+stampSize, len(b)), min(i+stampEvery, len(b))
		if !bytes.Equal(b[from:to], want[from:to]) {
			return fmt.Errorf("message %d: bytes %d to %d differ from what was sent", seq, offset+from, offset+to)
		}
	}
	return nil
}

func stampError(seq uint64, offset int, got uint64) error {
	return fmt.Errorf("message %d: stamp %#x at byte %d, want %#x", seq, got, offset, stampOf(seq, offset))
}
