package shmconn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/memfd"
	"github.com/shmconn/shmconn/shmconn"
)

// blob is size bytes that no two seeds have in common.
func blob(size int, seed uint64) []byte {
	b := make([]byte, size)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func inverse(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		out[i] = ^c
	}
	return out
}

// fileOf returns a file with final content.
func fileOf(content []byte) (*os.File, error) {
	return memfd.WriteOnce("shmconn-test", int64(len(content)), func(mem []byte) error {
		copy(mem, content)
		return nil
	})
}

func sendBlob(ctx context.Context, c *shmconn.Conn, content []byte) error {
	f, err := fileOf(content)
	if err != nil {
		return err
	}
	defer f.Close()
	return c.SendFile(ctx, f)
}

// receiveBlob returns a copy of the next file's content.
func receiveBlob(ctx context.Context, c *shmconn.Conn) ([]byte, error) {
	v, err := c.ReceiveFile(ctx, 1<<30)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	return bytes.Clone(v.Bytes()), nil
}

// filePair is pair with a server that takes files.
func filePair(t testing.TB) (client, server *shmconn.Conn) {
	t.Helper()
	l, path := listen(t, "shm", shmconn.ListenConfig{RingSize: 4096, ReceiveFiles: true})
	c := dial(t, "shm", path)
	s := accept(t, l)
	l.Close()
	return shared(t, c), shared(t, s)
}

// childFileMirror answers each file by one with the inverse content, as a
// client, or as a server when args[0] says so.
func childFileMirror(args []string) error {
	go orphaned()
	var conn net.Conn
	var err error
	if args[0] == "server" {
		l, err := (&shmconn.ListenConfig{ReceiveFiles: true}).Listen(context.Background(), "shm", args[1])
		if err != nil {
			return err
		}
		defer l.Close()
		fmt.Println("listening")
		if conn, err = l.Accept(); err != nil {
			return err
		}
	} else if conn, err = shmconn.Dial("shm", args[1]); err != nil {
		return err
	}
	c := conn.(*shmconn.Conn)
	defer c.Close()
	for {
		content, err := receiveBlob(context.Background(), c)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := sendBlob(context.Background(), c, inverse(content)); err != nil {
			return err
		}
	}
}

// TestSendFile passes files back and forth between two processes, of which the
// client and the server each are the other one once.
func TestSendFile(t *testing.T) {
	for _, role := range []string{"client", "server"} {
		t.Run(role, func(t *testing.T) {
			noLeaks(t)
			watchdog(t, patience)
			var c *shmconn.Conn
			var mirror *child
			if role == "client" {
				l, path := listen(t, "shm", shmconn.ListenConfig{ReceiveFiles: true})
				mirror = startChild(t, "file mirror", role, path)
				c = shared(t, accept(t, l))
				l.Close()
			} else {
				path := socketPath(t)
				mirror = startChild(t, "file mirror", role, path)
				if _, err := fmt.Fscanln(mirror.out, new(string)); err != nil {
					t.Fatal(err)
				}
				c = shared(t, dial(t, "shm", path))
			}
			page := os.Getpagesize()
			for i, size := range []int{1, 31, page - 1, page, page + 1, 1<<20 + 3} {
				content := blob(size, uint64(i))
				if err := sendBlob(t.Context(), c, content); err != nil {
					t.Fatal(err)
				}
				got, err := receiveBlob(t.Context(), c)
				if err != nil || !bytes.Equal(got, inverse(content)) {
					t.Fatalf("%d bytes come back as %d other ones, %v", size, len(got), err)
				}
			}
			// The other end finds the end of files by our Close.
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if err := mirror.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Files are neither copied nor held up by what the rings do: the receiver maps
// the sender's pages, many are on their way at once, and they keep their order
// while both rings are full.
func TestSendFileBesideBytes(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	c, s := filePair(t)
	for _, end := range []*shmconn.Conn{c, s} {
		end.SetDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := end.Write(make([]byte, 64<<10)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	const count = 100
	for i := range count {
		if err := sendBlob(t.Context(), c, blob(1000+i, uint64(i))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range count {
		if got, err := receiveBlob(t.Context(), s); err != nil || !bytes.Equal(got, blob(1000+i, uint64(i))) {
			t.Fatalf("file %d has %d other bytes, %v", i, len(got), err)
		}
	}
	f, err := fileOf(blob(100, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var views []*memfd.View
	for range 3 { // the same file as often as one likes, which outlives all else
		if err := c.SendFile(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		v, err := s.ReceiveFile(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		views = append(views, v)
	}
	f.Close()
	c.Close()
	s.Close()
	for _, v := range views {
		if !bytes.Equal(v.Bytes(), blob(100, 1)) {
			t.Error("the content has changed")
		}
		v.Close()
	}
}

// What only one of the ends allows fails at both, without harm.
func TestSendFileUnasked(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	c, s := pair(t, 4096)
	if err := sendBlob(t.Context(), c, []byte("x")); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("SendFile to a server that takes none: %v", err)
	}
	if _, err := s.ReceiveFile(t.Context(), 1); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("ReceiveFile of a server that takes none: %v", err)
	}
	if err := sendBlob(t.Context(), s, []byte("to the client")); err != nil {
		t.Fatal(err)
	}
	if got, err := receiveBlob(t.Context(), c); err != nil || string(got) != "to the client" {
		t.Errorf("the client gets %q, %v", got, err)
	}
}

// Files that are not final stay where they are.
func TestSendFileNotFinal(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	c, s := filePair(t)
	page := int64(os.Getpagesize())
	resizable, err := memfd.Create("shmconn-test", page)
	if err != nil {
		t.Fatal(err)
	}
	defer resizable.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, f := range []*os.File{resizable, null} {
		if err := c.SendFile(t.Context(), f); !errors.Is(err, memfd.ErrUnsafe) {
			t.Errorf("%s: %v, want ErrUnsafe", f.Name(), err)
		}
	}
	null.Close()
	if err := c.SendFile(t.Context(), null); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed file: %v, want ErrClosed", err)
	}
	if err := sendBlob(t.Context(), c, []byte("final")); err != nil {
		t.Fatal(err)
	}
	if got, err := receiveBlob(t.Context(), s); err != nil || string(got) != "final" {
		t.Errorf("received %q, %v", got, err)
	}
}

// A file that the receiver cannot use is gone, and the next one comes.
func TestReceiveFileInVain(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	c, s := filePair(t)
	next := func() {
		t.Helper()
		if got, err := receiveBlob(t.Context(), s); err != nil || string(got) != "next" {
			t.Errorf("then received %q, %v", got, err)
		}
	}
	for range 2 {
		if err := errors.Join(sendBlob(t.Context(), c, make([]byte, 5001)), sendBlob(t.Context(), c, []byte("next"))); err != nil {
			t.Fatal(err)
		}
	}
	var op *net.OpError
	if v, err := s.ReceiveFile(t.Context(), 5000); v != nil || !errors.Is(err, syscall.EFBIG) || !errors.As(err, &op) || op.Op != "read" {
		t.Errorf("file of 5001 bytes with a limit of 5000: %v, %v", v != nil, err)
	}
	next()
	for _, limit := range []int64{0, -1} {
		if _, err := s.ReceiveFile(t.Context(), limit); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("limit of %d: %v", limit, err)
		}
	}
	outOfDescriptors(t, func() {
		if v, err := s.ReceiveFile(t.Context(), 1<<20); v != nil || !errors.Is(err, syscall.EMFILE) {
			t.Errorf("with a full descriptor table: %v, %v", v != nil, err)
		}
	})
	next()
	for _, size := range []int64{1 << 62, 1<<63 - 1} { // more than fits into any address space
		fd := rawMemory(t, 0, size, finalSeals)
		f := os.NewFile(uintptr(fd), "sparse")
		if err := errors.Join(c.SendFile(t.Context(), f), f.Close(), sendBlob(t.Context(), c, []byte("next"))); err != nil {
			t.Fatal(err)
		}
		if v, err := s.ReceiveFile(t.Context(), 1<<63-1); v != nil || err == nil {
			t.Errorf("file of %d bytes: %v, %v", size, v != nil, err)
		}
		next()
	}
}

// outOfDescriptors runs do while none can be opened.
func outOfDescriptors(t testing.TB, do func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := unix.Rlimit{Cur: 0, Max: old.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	}()
	do()
}

// inSocketCall returns when a goroutine is asleep in the given method.
func inSocketCall(t testing.TB, method string) {
	t.Helper()
	eventually(t, "a goroutine sleeps in "+method, func() bool {
		return slices.ContainsFunc(stacks(), func(s string) bool {
			return bytes.Contains([]byte(s), []byte("(*Conn)."+method+"(")) && bytes.Contains([]byte(s), []byte("[IO wait"))
		})
	})
}

// Whatever ends a call ends it also when it is blocked, with the error of
// Conn's other methods.
func TestFileErrors(t *testing.T) {
	f, err := fileOf([]byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, test := range map[string]struct {
		end  func(c, p *shmconn.Conn, cancel func())
		send string // of a blocked SendFile
		recv string // of a blocked ReceiveFile
	}{
		"cancel": {func(c, p *shmconn.Conn, cancel func()) { cancel() }, "context canceled", "context canceled"},
		"close":  {func(c, p *shmconn.Conn, cancel func()) { c.Close() }, "closed network", "closed network"},
		"peer closes": {func(c, p *shmconn.Conn, cancel func()) { p.Close() },
			"OpError{write", "exactly EOF"},
	} {
		for _, op := range []string{"send", "receive"} {
			t.Run(name+", "+op, func(t *testing.T) {
				noLeaks(t)
				watchdog(t, patience)
				c, p := filePair(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				call, want := func() error {
					for { // until the socket is full, and then some
						if err := c.SendFile(ctx, f); err != nil {
							return err
						}
					}
				}, test.send
				if op == "receive" {
					call, want = func() error { _, err := c.ReceiveFile(ctx, 1); return err }, test.recv
				}
				results := make(chan error, 2) // one of them sleeps, the other waits for its turn
				for range cap(results) {
					go func() { results <- call() }()
				}
				inSocketCall(t, map[string]string{"send": "sendFile", "receive": "receiveFile"}[op])
				test.end(c, p, cancel)
				for range cap(results) {
					err := <-results
					if d := describe(err); !bytes.Contains([]byte(d), []byte(want)) && !bytes.Contains(fmt.Append(nil, err), []byte(want)) {
						t.Errorf("blocked call: %s (%v), want %s", d, err, want)
					}
					if err != io.EOF {
						if _, ok := err.(*net.OpError); !ok {
							t.Errorf("blocked call: %T, want *net.OpError", err)
						}
					}
					if op == "send" && name == "peer closes" && !errors.Is(err, syscall.EPIPE) {
						t.Errorf("blocked SendFile: %v, want EPIPE", err)
					}
				}
				if name == "cancel" { // and leaves no trace
					if op == "send" {
						if _, err := receiveBlob(t.Context(), p); err != nil {
							t.Error(err)
						}
					} else if err := sendBlob(t.Context(), p, []byte("x")); err != nil {
						t.Error(err)
					}
					if op == "send" {
						err = c.SendFile(t.Context(), f)
					} else {
						_, err = receiveBlob(t.Context(), c)
					}
					if err != nil {
						t.Errorf("after the cancelled call: %v", err)
					}
				} else if err := call(); describe(err) == "nil" {
					t.Error("no error afterwards")
				}
			})
		}
	}
}

// The end of a context that has a deadline is a timeout, before as well as
// during the call.
func TestFileDeadline(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	c, _ := filePair(t)
	for _, d := range []time.Duration{-time.Hour, 10 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		_, err := c.ReceiveFile(ctx, 100)
		cancel()
		var op net.Error
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &op) || !op.Timeout() {
			t.Errorf("%v: %v, want a timeout", d, err)
		}
	}
}

// Close does not wait for those who pass files, nor do they for Close.
func TestFileCloseRaces(t *testing.T) {
	noLeaks(t)
	watchdog(t, 2*patience)
	f, err := fileOf([]byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range 200 {
		c, s := filePair(t)
		var wg sync.WaitGroup
		for _, end := range []*shmconn.Conn{c, s} {
			wg.Go(func() {
				for end.SendFile(t.Context(), f) == nil {
				}
			})
			wg.Go(func() {
				for {
					v, err := end.ReceiveFile(t.Context(), 100)
					if err != nil {
						return
					}
					v.Close()
				}
			})
		}
		for range i % 50 {
			runtime.Gosched()
		}
		wg.Go(func() { c.Close() })
		if i%2 == 0 {
			wg.Go(func() { s.Close() })
		}
		wg.Wait()
		s.Close()
	}
}

// childFileVictim sends three files, says so, and waits to be killed.
func childFileVictim(args []string) error {
	go orphaned()
	conn, err := shmconn.Dial("shm", args[0])
	if err != nil {
		return err
	}
	for i := range uint64(3) {
		if err := sendBlob(context.Background(), conn.(*shmconn.Conn), blob(10_000, i)); err != nil {
			return err
		}
	}
	fmt.Println("sent")
	select {}
}

// What a process had sent before it was killed is received before its death is
// noticed, which is not taken for a Close.
func TestKilledSender(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	for _, asleep := range []bool{false, true} {
		l, path := listen(t, "shm", shmconn.ListenConfig{ReceiveFiles: true})
		victim := startChild(t, "file victim", path)
		c := shared(t, accept(t, l))
		if _, err := fmt.Fscanln(victim.out, new(string)); err != nil {
			t.Fatal(err)
		}
		if !asleep {
			victim.Process.Kill()
		}
		for i := range uint64(3) {
			if got, err := receiveBlob(t.Context(), c); err != nil || !bytes.Equal(got, blob(10_000, i)) {
				t.Fatalf("file %d: %d bytes, %v", i, len(got), err)
			}
		}
		var killer sync.WaitGroup
		if asleep {
			killer.Go(func() {
				inSocketCall(t, "receiveFile")
				victim.Process.Kill()
			})
		}
		for range 2 {
			if _, err := receiveBlob(t.Context(), c); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("after the death: %v, want ECONNRESET", err)
			}
		}
		if err := sendBlob(t.Context(), c, []byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("SendFile: %v, want EPIPE", err)
		}
		killer.Wait()
		c.Close()
		l.Close()
	}
}

// A peer that closes with files unread is still one that has closed, and one
// that closed before it was asked for them.
func TestPeerClosesLaden(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	c, s := filePair(t)
	for i := range 2 {
		if err := errors.Join(sendBlob(t.Context(), c, []byte("unread")), sendBlob(t.Context(), s, fmt.Append(nil, i))); err != nil {
			t.Fatal(err)
		}
	}
	prompt(t, "Close", func() { s.Close() })
	for i := range 2 {
		if got, err := receiveBlob(t.Context(), c); err != nil || string(got) != fmt.Sprint(i) {
			t.Errorf("received %q, %v", got, err)
		}
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read: %d, %v; want EOF", n, err)
	}
	for range 2 {
		if _, err := receiveBlob(t.Context(), c); err != io.EOF {
			t.Errorf("ReceiveFile: %v, want EOF", err)
		}
		if err := sendBlob(t.Context(), c, []byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("SendFile: %v, want EPIPE", err)
		}
	}
}
