package conformance

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
)

// maxChunk is the largest piece of a transfer. It exceeds the buffer of a unix socket and a small
// ring, so that single calls meet both ends of the buffer.
const maxChunk = 256 << 10

// period is prime: a piece that is lost, repeated or moved shifts what follows against the pattern,
// unless its size is a multiple of period.
const period = 1<<20 - 3

// pattern is what every transfer consists of, period bytes repeated. It is longer than period by
// the largest piece, so that each piece lies in it without a seam.
var pattern = sync.OnceValue(func() []byte {
	b := make([]byte, period, period+maxChunk)
	rand.NewChaCha8([32]byte{}).Read(b)
	return append(b, b[:maxChunk]...)
})

// big is more of the pattern than any transport buffers.
var big = sync.OnceValue(func() []byte {
	return bytes.Repeat(pattern()[:period], 8)
})

// send writes n bytes of the pattern, or until the connection fails when n is negative.
func send(w io.Writer, n int64, seed uint64) (int64, error) {
	rng := rand.New(rand.NewPCG(seed, 3))
	for off := int64(0); ; {
		size := chunk(rng, n, off)
		if size == 0 {
			return off, nil
		}
		at := off % period
		m, err := w.Write(pattern()[at : at+size])
		off += int64(m)
		if err != nil {
			return off, err
		}
		if int64(m) != size {
			return off, fmt.Errorf("Write = %d, nil, want %d", m, size)
		}
	}
}

// receive reads n bytes of the pattern, or up to the end when n is negative, and compares each.
func receive(r io.Reader, n int64, seed uint64) (int64, error) {
	rng := rand.New(rand.NewPCG(seed, 4))
	buf := make([]byte, maxChunk)
	for off := int64(0); ; {
		size := chunk(rng, n, off)
		if size == 0 {
			return off, nil
		}
		m, err := r.Read(buf[:size])
		if err := match(buf[:m], off); err != nil {
			return off, err
		}
		off += int64(m)
		if err == io.EOF && n < 0 {
			return off, nil
		}
		if err != nil {
			return off, err
		}
		if m == 0 {
			return off, errors.New("Read = 0, nil")
		}
	}
}

// match compares b with the pattern at offset off.
func match(b []byte, off int64) error {
	at := off % period
	want := pattern()[at : at+int64(len(b))]
	if bytes.Equal(b, want) {
		return nil
	}
	for i := range b {
		if b[i] != want[i] {
			return fmt.Errorf("byte %d is %#x, want %#x", off+int64(i), b[i], want[i])
		}
	}
	return nil
}

// chunk picks the size of the next piece, every magnitude as likely as the others.
func chunk(rng *rand.Rand, n, off int64) int64 {
	size := 1 + rng.Int64N(1<<rng.IntN(19))
	if n >= 0 {
		size = min(size, n-off)
	}
	return size
}

// A task is work for a far end that would be too slow call by call.
type task struct {
	Op   string
	N    int64 // bytes, or records; negative: until the end
	Seed uint64
}

// perform carries out the task and returns how much was moved.
func (k task) perform(c duplex) (int64, error) {
	switch k.Op {
	case "send":
		return send(c, k.N, k.Seed)
	case "send and close":
		n, err := send(c, k.N, k.Seed)
		return n, errors.Join(err, c.Close())
	case "receive":
		return receive(c, k.N, k.Seed)
	case "exchange":
		return exchange(c, k.N, k.Seed)
	case "echo":
		n, err := io.Copy(c, c)
		return n, errors.Join(err, c.CloseWrite())
	case "records":
		return receiveRecords(c, k.N)
	}
	return 0, fmt.Errorf("no such task: %q", k.Op)
}

// exchange sends n bytes and receives n bytes at the same time, and returns how many were received.
// When one direction fails the other is given up.
func exchange(c duplex, n int64, seed uint64) (int64, error) {
	sent := start(func() (int64, error) {
		m, err := send(c, n, seed)
		if err != nil {
			c.SetDeadline(past)
		}
		return m, err
	})
	got, err := receive(c, n, seed)
	if err != nil {
		c.SetDeadline(past)
	}
	<-sent.done
	return got, errors.Join(err, sent.err)
}

// A record is what one Write carries in the test of concurrent writers: writer, number, size, and
// as many bytes of one value.
const recordHeader = 12

func appendRecord(b []byte, writer, number, size int) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(writer))
	b = binary.LittleEndian.AppendUint32(b, uint32(number))
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	return append(b, bytes.Repeat([]byte{recordFill(writer, number)}, size)...)
}

func recordFill(writer, number int) byte { return byte(writer*31 + number*7 + 1) }

// receiveRecords reads up to n records. A record that another one cuts into shows as a wrong
// header or filling; those of one writer come in order.
func receiveRecords(r io.Reader, n int64) (int64, error) {
	next := make(map[int]int)
	var header [recordHeader]byte
	for i := range n {
		if _, err := io.ReadFull(r, header[:]); err != nil {
			return i, err
		}
		writer := int(binary.LittleEndian.Uint32(header[0:]))
		number := int(binary.LittleEndian.Uint32(header[4:]))
		size := int(binary.LittleEndian.Uint32(header[8:]))
		if number != next[writer] || size > maxRecord {
			return i, fmt.Errorf("record %d: writer %d, number %d, size %d; want number %d", i, writer, number, size, next[writer])
		}
		next[writer]++
		body := make([]byte, size)
		if _, err := io.ReadFull(r, body); err != nil {
			return i, err
		}
		if bytes.Count(body, []byte{recordFill(writer, number)}) != size {
			return i, fmt.Errorf("record %d: another write inside", i)
		}
	}
	return n, nil
}
