package work

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// Stream sends messages of Size bytes one way, each with one Write, as fast as
// they go. The server reads with a buffer of readBuffer bytes. A slice ends
// when the server has answered its last message with the number of those it
// has verified, so what was only buffered does not count.
type Stream struct {
	Size int
}

// readBuffer is the size of the server's buffer: large enough that small
// messages are read many at a time, small enough to stay in the cache of one
// core.
const readBuffer = 64 << 10

func (s Stream) Name() string { return "stream/" + SizeString(s.Size) }
func (s Stream) Op() string   { return "write" }
func (s Stream) Payload() int { return s.Size }

func (s Stream) Serve(ln net.Listener) Server {
	return serveConns(ln, s.receive)
}

// receive verifies messages until the client closes. It works on units: whole
// messages, or pieces of readBuffer bytes of longer ones. An unfinished unit
// moves to the front of the buffer.
func (s Stream) receive(conn net.Conn) error {
	unit := min(s.Size, readBuffer)
	buf := make([]byte, readBuffer/unit*unit)
	var (
		seq    uint64 // of the message that the next unit belongs to
		offset int    // of the next unit in it
		have   int    // bytes in buf
		last   bool   // the message at hand is the last of a slice
	)
	for {
		n, err := conn.Read(buf[have:])
		if err != nil {
			if err == io.EOF && have+offset > 0 {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		have += n
		rest := buf[:have]
		for len(rest) >= unit {
			marked, err := checkPiece(rest[:unit], seq, offset, s.Size)
			if err != nil {
				return err
			}
			last = last || marked
			rest = rest[unit:]
			if offset += unit; offset < s.Size {
				continue
			}
			seq, offset = seq+1, 0
			if last {
				last = false
				var answer [8]byte
				binary.LittleEndian.PutUint64(answer[:], seq)
				if _, err := conn.Write(answer[:]); err != nil {
					return err
				}
			}
		}
		have = copy(buf, rest)
	}
}

func (s Stream) Open(dial Dial) (Client, error) {
	conn, err := dial()
	if err != nil {
		return nil, err
	}
	return &streamClient{conn: conn, out: NewMessage(s.Size)}, nil
}

type streamClient struct {
	conn net.Conn
	out  []byte
	seq  uint64
}

func (c *streamClient) Run(d time.Duration, lat *Latency) (int64, error) {
	n, err := repeat(d, lat, func() error {
		Stamp(c.out, c.seq)
		c.seq++
		_, err := c.conn.Write(c.out)
		return err
	})
	if err != nil {
		return n, err
	}
	stampLast(c.out, c.seq)
	c.seq++
	if _, err := c.conn.Write(c.out); err != nil {
		return n, err
	}
	var answer [8]byte
	if _, err := io.ReadFull(c.conn, answer[:]); err != nil {
		return n, fmt.Errorf("server's count: %w", err)
	}
	if got := binary.LittleEndian.Uint64(answer[:]); got != c.seq {
		return n, fmt.Errorf("server has verified %d messages of %d", got, c.seq)
	}
	return n + 1, nil
}

func (c *streamClient) Close() error { return c.conn.Close() }
