package conformance

import (
	"encoding/binary"
	"io"
	"sync"
)

// Messages cross a pipe as their size in four bytes and then their fields one after the other. It is
// a codec of its own because nettest sends thousands of them, and package gob, looked at by the race
// detector, took longer than the connections under test.

// A message is a request or a reply.
type message interface {
	// each calls number or text for all fields, always in the same order.
	each(f *fields)
}

// fields are those of one message, to be written or to be read.
type fields struct {
	b    []byte // the rest of the message when reading, what there is so far when writing
	read bool
}

func number[T int | int64 | uint64 | uintptr](f *fields, v *T) {
	if !f.read {
		f.b = binary.LittleEndian.AppendUint64(f.b, uint64(*v))
		return
	}
	*v = T(binary.LittleEndian.Uint64(f.b))
	f.b = f.b[8:]
}

func flag(f *fields, v *bool) {
	n := 0
	if *v {
		n = 1
	}
	number(f, &n)
	*v = n != 0
}

// text keeps a part of the message when reading, if it is bytes.
func text[T string | []byte](f *fields, v *T) {
	n := len(*v)
	number(f, &n)
	if !f.read {
		f.b = append(f.b, *v...)
		return
	}
	*v = T(f.b[:n])
	f.b = f.b[n:]
}

// A sender writes messages, from several goroutines.
type sender struct {
	mu sync.Mutex
	w  io.Writer // guarded by mu
}

func (s *sender) send(m message) error {
	f := fields{b: make([]byte, 4, 256)}
	m.each(&f)
	binary.LittleEndian.PutUint32(f.b, uint32(len(f.b)-4))
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.w.Write(f.b)
	return err
}

// receiveMessage returns io.EOF when nothing more comes.
func receiveMessage(r io.Reader, m message) error {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return err
	}
	f := fields{b: make([]byte, binary.LittleEndian.Uint32(size[:])), read: true}
	if _, err := io.ReadFull(r, f.b); err != nil {
		return io.ErrUnexpectedEOF
	}
	m.each(&f)
	return nil
}
