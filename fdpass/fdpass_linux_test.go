package fdpass

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 4, 5, 8, MaxFDs} {
		for _, size := range []int{1, 2, 64} {
			t.Run(fmt.Sprintf("%d descriptors, %d bytes", n, size), func(t *testing.T) {
				tokens := newTokens(t, n)
				a, b := socketPair(t, unix.SOCK_STREAM)
				want := bytes.Repeat([]byte{'f'}, size)
				if err := Send(a, want, numbers(t, tokens)...); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, size)
				fds, err := Receive(b, got, n)
				if err != nil {
					t.Fatal(err)
				}
				checkReceived(t, fds, tokens)
				if !bytes.Equal(got, want) {
					t.Errorf("frame is %q, want %q", got, want)
				}
			})
		}
	}
}

// Frames and plain bytes that lie behind each other in the socket stay apart.
func TestNeverReadsBeyondFrame(t *testing.T) {
	tokens := newTokens(t, 3)
	fds := numbers(t, tokens)
	a, b := socketPair(t, unix.SOCK_STREAM)
	err := errors.Join(
		Send(a, []byte("one")),
		Send(a, []byte("two"), fds[:2]...),
		Send(a, []byte("three"), fds[2:]...),
	)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Write([]byte("rest")); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		frame  string
		tokens []token
	}{{"one", nil}, {"two", tokens[:2]}, {"three", tokens[2:]}, {"rest", nil}} {
		got := make([]byte, len(step.frame))
		fds, err := Receive(b, got, len(step.tokens))
		if err != nil || string(got) != step.frame {
			t.Fatalf("frame %q, %v; want %q", got, err, step.frame)
		}
		checkReceived(t, fds, step.tokens)
	}
}

// A frame larger than the socket's buffers goes in many pieces.
func TestLongFrame(t *testing.T) {
	tokens := newTokens(t, 2)
	sending := numbers(t, tokens)
	a, b := socketPair(t, unix.SOCK_STREAM)
	want := make([]byte, 4<<20)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(want)
	sent := make(chan error, 1)
	go func() { sent <- Send(a, want, sending...) }()
	got := make([]byte, len(want))
	fds, err := Receive(b, got, 2)
	if err != nil {
		t.Fatal(err)
	}
	checkReceived(t, fds, tokens)
	if !bytes.Equal(got, want) {
		t.Error("frame differs from what was sent")
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestInvalidArguments(t *testing.T) {
	a, b := socketPair(t, unix.SOCK_STREAM)
	datagram, _ := socketPair(t, unix.SOCK_DGRAM)
	packet, _ := socketPair(t, unix.SOCK_SEQPACKET)
	frame := []byte{1}
	receive := func(c *net.UnixConn, frame []byte, n int) error {
		fds, err := Receive(c, frame, n)
		if fds != nil {
			t.Errorf("got descriptors %v", fds)
		}
		return err
	}
	for name, err := range map[string]error{
		"send empty frame":         Send(a, nil),
		"send too many":            Send(a, frame, make([]int, MaxFDs+1)...),
		"send on nil":              Send(nil, frame),
		"send on datagram":         Send(datagram, frame),
		"send on seqpacket":        Send(packet, frame),
		"receive empty frame":      receive(b, nil, 0),
		"receive negative":         receive(b, frame, -1),
		"receive more than passes": receive(b, frame, MaxFDs+1),
		"receive on nil":           receive(nil, frame, 0),
		"receive on datagram":      receive(datagram, frame, 0),
		"receive on seqpacket":     receive(packet, frame, 0),
	} {
		if !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%s: %v, want os.ErrInvalid", name, err)
		}
	}
}

// A descriptor that is not open fails the call before a byte is sent.
func TestSendBadDescriptor(t *testing.T) {
	a, b := socketPair(t, unix.SOCK_STREAM)
	if err := Send(a, []byte("bad"), -1); !errors.Is(err, unix.EBADF) {
		t.Errorf("Send(-1): %v, want EBADF", err)
	}
	if err := Send(a, []byte("good")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := Receive(b, got, 0); err != nil || string(got) != "good" {
		t.Errorf("frame %q, %v; want \"good\"", got, err)
	}
}

func TestEndOfStream(t *testing.T) {
	a, b := socketPair(t, unix.SOCK_STREAM)
	a.Close()
	if fds, err := Receive(b, make([]byte, 4), 0); err != io.EOF || fds != nil {
		t.Errorf("before the frame: %v, %v; want bare io.EOF", fds, err)
	}
	for _, sent := range []string{"f", "fra"} {
		for _, n := range []int{0, 2} {
			tokens := newTokens(t, n)
			a, b := socketPair(t, unix.SOCK_STREAM)
			if err := Send(a, []byte(sent), numbers(t, tokens)...); err != nil {
				t.Fatal(err)
			}
			a.Close()
			if fds, err := Receive(b, make([]byte, 4), n); err != io.ErrUnexpectedEOF || fds != nil {
				t.Errorf("after %q with %d: %v, %v; want bare io.ErrUnexpectedEOF", sent, n, fds, err)
			}
		}
	}
}

func TestReceiveDeadline(t *testing.T) {
	for _, sent := range []string{"", "f", "fra"} {
		t.Run(fmt.Sprintf("after %q", sent), func(t *testing.T) {
			tokens := newTokens(t, 2)
			a, b := socketPair(t, unix.SOCK_STREAM)
			if sent != "" {
				if err := Send(a, []byte(sent), numbers(t, tokens)...); err != nil {
					t.Fatal(err)
				}
			}
			b.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			fds, err := Receive(b, make([]byte, 4), 2)
			if !errors.Is(err, os.ErrDeadlineExceeded) || fds != nil {
				t.Errorf("%v, %v; want os.ErrDeadlineExceeded", fds, err)
			}
		})
	}
}

func TestSendDeadline(t *testing.T) {
	a, _ := socketPair(t, unix.SOCK_STREAM)
	a.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	if err := Send(a, make([]byte, 16<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, want os.ErrDeadlineExceeded", err)
	}
}

func TestCloseUnblocks(t *testing.T) {
	a, b := socketPair(t, unix.SOCK_STREAM)
	received, sent := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := Receive(b, make([]byte, 4), 0)
		received <- err
	}()
	b.Close()
	go func() { sent <- Send(a, make([]byte, 16<<20)) }()
	if err := <-received; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Receive: %v, want net.ErrClosed", err)
	}
	if err := <-sent; !errors.Is(err, unix.EPIPE) {
		t.Errorf("Send to a closed peer: %v, want EPIPE", err)
	}
}

func TestBorrow(t *testing.T) {
	tokens := newTokens(t, 3)
	all := []syscall.Conn{tokens[0].w, tokens[1].r, tokens[2].w}
	for n := range len(all) + 1 {
		called := false
		err := Borrow(func(fds []int) error {
			called = true
			if len(fds) != n {
				t.Errorf("got %d descriptors, want %d", len(fds), n)
			}
			for i, fd := range fds {
				if link, err := os.Readlink(procPath(fd)); err != nil || link != tokens[i].link {
					t.Errorf("descriptor %d is %s, %v; want %s", i, link, err, tokens[i].link)
				}
			}
			return io.ErrNoProgress
		}, all[:n]...)
		if !called || err != io.ErrNoProgress {
			t.Errorf("called %v, %v; want the error of do", called, err)
		}
	}

	closed, other, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	closed.Close()
	a, _ := socketPair(t, unix.SOCK_STREAM)
	a.Close()
	never := func([]int) error { t.Error("do was called"); return nil }
	if err := Borrow(never, tokens[0].w, closed); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed file: %v, want os.ErrClosed", err)
	}
	if err := Borrow(never, a); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed conn: %v, want os.ErrClosed", err)
	}
	if err := Borrow(never, (*os.File)(nil)); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("nil file: %v, want os.ErrInvalid", err)
	}
}

// TestTwoProcesses gives another process the write end of a pipe and reads what
// that process writes to it.
func TestTwoProcesses(t *testing.T) {
	a, b := socketPair(t, unix.SOCK_STREAM)
	remote, err := b.File()
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.ExtraFiles = []*os.File{remote}
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Start()
	remote.Close()
	if err != nil {
		t.Fatal(err)
	}

	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	err = Borrow(func(fds []int) error { return Send(a, []byte("frame"), fds...) }, w)
	w.Close()
	if err != nil {
		t.Error(err)
	}
	r.SetReadDeadline(time.Now().Add(30 * time.Second))
	// Ends when the last write end is closed: the peer's.
	if got, err := io.ReadAll(r); err != nil || string(got) != "frame and descriptor" {
		t.Errorf("peer wrote %q, %v", got, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("peer: %v\n%s", err, out.Bytes())
	}
}

// peerMain is the other process of TestTwoProcesses; the socket is descriptor 3.
func peerMain() int {
	f := os.NewFile(3, "socket")
	c, err := net.FileConn(f)
	f.Close()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	frame := make([]byte, 5)
	fds, err := Receive(c.(*net.UnixConn), frame, 1)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer closeAll(fds)
	if _, err := unix.Write(fds[0], append(frame, " and descriptor"...)); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}
