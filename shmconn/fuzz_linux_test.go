package shmconn_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/internal/soak"
	"github.com/shmconn/shmconn/shmconn"
)

// flow is the model of one direction.
type flow struct {
	pipe              bytes.Buffer
	sendShut, rcvShut bool
}

// FuzzConn carries out a sequence of operations on both ends of a connection
// and on a model of it that consists of two buffers. Each operation is three
// bytes: what, on which end, and how much.
func FuzzConn(f *testing.F) {
	f.Add([]byte{0, 0, 10, 1, 1, 5, 1, 1, 5, 1, 1, 1})
	f.Add([]byte{0, 0, 255, 0, 0, 255, 1, 1, 255, 0, 0, 255, 1, 1, 255, 1, 1, 255, 1, 1, 255})
	f.Add([]byte{0, 0, 9, 0, 1, 9, 2, 0, 0, 1, 1, 255, 1, 1, 1, 0, 1, 8, 1, 0, 255})
	f.Add([]byte{0, 1, 100, 3, 0, 0, 1, 0, 50, 1, 0, 250, 1, 0, 1, 0, 1, 1})
	f.Add([]byte{4, 0, 200, 5, 0, 200, 2, 0, 0, 6, 1, 0, 1, 1, 1})
	text := bytes.Repeat([]byte("0123456789abcdef"), 512)
	name := filepath.Join(f.TempDir(), "text")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		f.Fatal(err)
	}
	const size = 4096
	f.Fuzz(func(t *testing.T, ops []byte) {
		watchdog(t, patience)
		c, s := pair(t, size)
		ends := [2]*shmconn.Conn{c, s}
		var flows [2]flow // from the end of that number
		next := byte(0)
		for ; len(ops) >= 3; ops = ops[3:] {
			self := int(ops[1] & 1)
			end, out, in := ends[self], &flows[self], &flows[1-self]
			amount := int(ops[2]) * 33
			switch ops[0] % 7 {
			case 0, 4, 5: // Write, ReadFrom a reader, ReadFrom a file
				b := make([]byte, min(amount, size-out.pipe.Len()))
				var n int64
				var err error
				switch ops[0] % 7 {
				case 5:
					file, openErr := os.Open(name)
					if openErr != nil {
						t.Fatal(openErr)
					}
					n, err = end.ReadFrom(io.LimitReader(file, int64(len(b))))
					file.Close()
					copy(b, text)
				default:
					for i := range b {
						b[i] = next
						next++
					}
					if ops[0]%7 == 4 {
						n, err = end.ReadFrom(bytes.NewReader(b))
					} else {
						k, writeErr := end.Write(b)
						n, err = int64(k), writeErr
					}
				}
				if out.sendShut || out.rcvShut {
					// A copy of nothing has nothing to fail at.
					if n != 0 || !errors.Is(err, unix.EPIPE) && (len(b) > 0 || ops[0]%7 == 0) {
						t.Fatalf("%d bytes, %v after an end; want EPIPE", n, err)
					}
					break
				}
				if n != int64(len(b)) || err != nil {
					t.Fatalf("%d bytes of %d, %v; there is room", n, len(b), err)
				}
				out.pipe.Write(b)
			case 1: // Read
				b := make([]byte, amount)
				if in.pipe.Len() == 0 {
					end.SetReadDeadline(time.Unix(1, 0))
				}
				var n int
				var err error
				if in.pipe.Len() > 0 || amount == 0 {
					n, err = end.Read(b)
					if err != nil || n == 0 && amount > 0 {
						t.Fatalf("%d bytes, %v; there are %d", n, err, in.pipe.Len())
					}
				} else {
					if n, err = end.Read(b); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Fatalf("%d bytes, %v; want a timeout", n, err)
					}
					end.SetReadDeadline(time.Time{})
					if in.sendShut || in.rcvShut {
						if n, err = end.Read(b); n != 0 || err != io.EOF {
							t.Fatalf("%d bytes, %v; want EOF", n, err)
						}
					}
				}
				end.SetReadDeadline(time.Time{})
				if want := in.pipe.Next(n); !bytes.Equal(b[:n], want) {
					t.Fatalf("read %x, want %x", b[:n], want)
				}
			case 2: // CloseWrite
				if err := end.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				out.sendShut = true
			case 3: // CloseRead
				if err := end.CloseRead(); err != nil {
					t.Fatal(err)
				}
				in.rcvShut = true
			case 6: // WriteTo, of all that there is
				var got bytes.Buffer
				want := bytes.Clone(in.pipe.Next(in.pipe.Len()))
				if !in.sendShut && !in.rcvShut {
					if len(want) == 0 {
						break
					}
					n, err := io.CopyN(&got, end, int64(len(want)))
					if n != int64(len(want)) || err != nil {
						t.Fatalf("copied %d bytes of %d, %v", n, len(want), err)
					}
				} else if n, err := end.WriteTo(&got); n != int64(len(want)) || err != nil {
					t.Fatalf("copied %d bytes of %d, %v", n, len(want), err)
				}
				if !bytes.Equal(got.Bytes(), want) {
					t.Fatalf("copied %x, want %x", got.Bytes(), want)
				}
			}
		}
		// What is in the ring survives the writer's Close.
		c.Close()
		got, err := io.ReadAll(s)
		if want := flows[0].pipe.Bytes(); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("after Close: %x, %v; want %x", got, err, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("after Close: %v", err)
		}
	})
}

// TestSoakStreams sends data of random length in writes of random sizes, to be
// read in others, through rings of every size.
func TestSoakStreams(t *testing.T) {
	noLeaks(t)
	span := soak.Time(500 * time.Millisecond)
	watchdog(t, span+2*patience)
	type place struct {
		net.Listener
		path string
	}
	var places [5]place
	for i := range places {
		places[i].Listener, places[i].path = listen(t, "shm", shmconn.ListenConfig{RingSize: 4096 << i})
	}
	streams, sum := 0, 0
	for end := time.Now().Add(span); time.Now().Before(end); streams++ {
		at := places[rand.N(len(places))]
		c, s := connect(t, at, at.path)
		total := 1 + rand.N(1<<20)
		data := make([]byte, total)
		for i := range data {
			data[i] = byte(rand.Uint32())
		}
		go func() {
			for b := data; len(b) > 0; {
				n := min(len(b), 1+rand.N(1<<rand.N(18)))
				if _, err := c.Write(b[:n]); err != nil {
					t.Error(err)
				}
				b = b[n:]
			}
			c.Close()
		}()
		var got bytes.Buffer
		for {
			n, err := got.ReadFrom(io.LimitReader(onlyReader{s}, int64(1+rand.N(1<<rand.N(18)))))
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
		}
		if !bytes.Equal(got.Bytes(), data) {
			t.Fatalf("%d bytes arrive changed, as %d", total, got.Len())
		}
		s.Close()
		sum += total
	}
	t.Logf("%d bytes in %d streams", sum, streams)
}

// onlyReader hides all methods but Read.
type onlyReader struct{ io.Reader }
