package shmconn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/fdpass"
	"github.com/shmconn/shmconn/internal/wire"
	"github.com/shmconn/shmconn/memfd"
	"github.com/shmconn/shmconn/shmconn"
)

// hostileFiles connects an honest end that takes files to a raw peer.
func hostileFiles(t testing.TB, victim string) (*shmconn.Conn, *rawPeer) {
	t.Helper()
	if victim == "client" {
		return hostilePair(t, victim, 4096)
	}
	l, path := listen(t, "shm", shmconn.ListenConfig{RingSize: 4096, ReceiveFiles: true})
	p := rawClient(t, rawDial(t, path), 4096)
	c := shared(t, accept(t, l))
	l.Close()
	return c, p
}

// rawMemory returns a memory file of size bytes with the given flags and seals.
func rawMemory(t testing.TB, flags int, size int64, seals int) int {
	t.Helper()
	fd, err := unix.MemfdCreate("shmconn-raw", flags|unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Ftruncate(fd, size); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		t.Fatal(err)
	}
	return fd
}

func open(t testing.TB, path string, flags int) int {
	t.Helper()
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func must(t testing.TB) func(fd int, err error) int {
	return func(fd int, err error) int {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
}

// pass sends b with the descriptors, which it closes.
func pass(t testing.TB, sock *net.UnixConn, b []byte, fds ...int) {
	t.Helper()
	err := fdpass.Send(sock, b, fds...)
	for _, fd := range fds {
		unix.Close(fd)
	}
	if err != nil {
		t.Fatal(err)
	}
}

const finalSeals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL

// goodFile returns a descriptor that is what it should be.
func goodFile(t testing.TB) int {
	t.Helper()
	return rawMemory(t, 0, 100, finalSeals)
}

// fileFrame is a correct frame of a file.
func fileFrame() []byte { return frame(wire.File, 0, 0, 0) }

// badDescriptors are no files whose content is final.
var badDescriptors = map[string]func(t testing.TB) int{
	"memory without seals":       func(t testing.TB) int { return rawMemory(t, 0, 4096, 0) },
	"memory that can be written": func(t testing.TB) int { return rawMemory(t, 0, 4096, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW) },
	"memory with a writer": func(t testing.TB) int {
		return rawMemory(t, 0, 4096, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_FUTURE_WRITE|unix.F_SEAL_SEAL)
	},
	"memory that can shrink": func(t testing.TB) int { return rawMemory(t, 0, 4096, unix.F_SEAL_WRITE|unix.F_SEAL_GROW) },
	"empty memory":           func(t testing.TB) int { return rawMemory(t, 0, 0, finalSeals) },
	"device":                 func(t testing.TB) int { return open(t, "/dev/zero", unix.O_RDWR) },
	"file":                   func(t testing.TB) int { return open(t, "/proc/self/exe", unix.O_RDONLY) },
	"directory":              func(t testing.TB) int { return open(t, "/", unix.O_RDONLY) },
	"path":                   func(t testing.TB) int { return open(t, "/", unix.O_PATH) },
	"file on disk":           func(t testing.TB) int { return open(t, t.TempDir()+"/f", unix.O_RDWR|unix.O_CREAT) },
	"epoll":                  func(t testing.TB) int { return must(t)(unix.EpollCreate1(unix.EPOLL_CLOEXEC)) },
	"eventfd":                func(t testing.TB) int { return must(t)(unix.Eventfd(0, unix.EFD_CLOEXEC)) },
	"socket": func(t testing.TB) int {
		return must(t)(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	},
	"pipe": func(t testing.TB) int {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		unix.Close(p[1])
		return p[0]
	},
	"socket that lingers": func(t testing.TB) int { return lingering(t, time.Hour) },
}

// badFiles are what else can be wrong with a file. Each gets a correct
// descriptor to use up.
var badFiles = map[string]func(t testing.TB, sock *net.UnixConn, fd int){
	"no descriptor": func(t testing.TB, sock *net.UnixConn, fd int) {
		unix.Close(fd)
		send(t, sock, fileFrame())
	},
	"two descriptors": func(t testing.TB, sock *net.UnixConn, fd int) {
		pass(t, sock, fileFrame(), fd, goodFile(t))
	},
	"253 descriptors": func(t testing.TB, sock *net.UnixConn, fd int) {
		defer unix.Close(fd)
		if err := fdpass.Send(sock, fileFrame(), slices.Repeat([]int{fd}, 253)...); err != nil {
			t.Fatal(err)
		}
	},
	"descriptor and one that lingers": func(t testing.TB, sock *net.UnixConn, fd int) {
		pass(t, sock, fileFrame(), fd, lingering(t, time.Hour))
	},
	"four that linger": func(t testing.TB, sock *net.UnixConn, fd int) {
		pass(t, sock, fileFrame(), lingering(t, time.Hour), lingering(t, time.Hour), lingering(t, time.Hour), lingering(t, time.Hour), fd)
	},
	"half a frame": func(t testing.TB, sock *net.UnixConn, fd int) {
		pass(t, sock, fileFrame()[:16], fd)
	},
	"one byte": func(t testing.TB, sock *net.UnixConn, fd int) {
		pass(t, sock, fileFrame()[:1], fd)
	},
	"half a frame, then death": func(t testing.TB, sock *net.UnixConn, fd int) {
		pass(t, sock, fileFrame()[:16], fd)
		sock.Close()
	},
	"other protocol": func(t testing.TB, sock *net.UnixConn, fd int) {
		pass(t, sock, []byte("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"), fd)
	},
	"other kind": func(t testing.TB, sock *net.UnixConn, fd int) {
		pass(t, sock, frame(wire.Memory, 0, 0, 0), fd)
	},
	"version 2": func(t testing.TB, sock *net.UnixConn, fd int) {
		pass(t, sock, wire.Frame{Version: 2, Kind: wire.File}.Encode(), fd)
	},
	"flag": func(t testing.TB, sock *net.UnixConn, fd int) {
		pass(t, sock, wire.Frame{Version: 1, Kind: wire.File, Files: true}.Encode(), fd)
	},
	"out of band": func(t testing.TB, sock *net.UnixConn, fd int) {
		defer unix.Close(fd)
		send(t, sock, fileFrame()[:31])
		if err := fdpass.Borrow(func(fds []int) error {
			return unix.Sendmsg(fds[0], fileFrame()[31:], unix.UnixRights(fd), nil, unix.MSG_OOB)
		}, sock); err != nil {
			t.Skipf("the kernel has no out-of-band data on unix sockets: build it with CONFIG_AF_UNIX_OOB: %v", err)
		}
	},
}

// halves are sent in pieces, whose descriptor is not on byte 0 of the whole. If
// the receiver looks in between, it has seen enough.
func halves(at int) func(t testing.TB, sock *net.UnixConn, fd int) {
	return func(t testing.TB, sock *net.UnixConn, fd int) {
		send(t, sock, fileFrame()[:at])
		pass(t, sock, fileFrame()[at:], fd)
	}
}

func init() {
	for name, make := range badDescriptors {
		badFiles[name] = func(t testing.TB, sock *net.UnixConn, fd int) {
			unix.Close(fd)
			pass(t, sock, fileFrame(), make(t))
		}
	}
	for _, at := range []int{1, 9, 31} {
		badFiles[fmt.Sprintf("descriptor on byte %d", at)] = halves(at)
	}
}

// Whatever comes in the place of a file condemns the connection at once and
// leaves nothing behind: no descriptor, no mapping, and no call that blocks.
func TestBadFile(t *testing.T) {
	for name, run := range badFiles {
		for _, victim := range []string{"client", "server"} {
			t.Run(name+", "+victim, func(t *testing.T) {
				noLeaks(t)
				watchdog(t, patience)
				c, p := hostileFiles(t, victim)
				run(t, p.sock, goodFile(t))
				for range 2 {
					prompt(t, "ReceiveFile", func() {
						v, err := c.ReceiveFile(t.Context(), 1<<62)
						op, ok := err.(*net.OpError)
						if v != nil || !ok || op.Op != "read" || !errors.Is(err, shmconn.ErrCorrupt) {
							t.Errorf("%v, %v; want ErrCorrupt", v != nil, err)
						}
					})
				}
				if err := sendBlob(t.Context(), c, []byte("x")); err == nil {
					t.Error("SendFile: no error")
				}
				dead(t, c)
				if p.load(wordSendClosed) == 0 || p.load(wordRecvClosed) == 0 {
					t.Error("the peer is not told")
				}
				prompt(t, "Close", func() { c.Close() })
			})
		}
	}
}

// An honest file after which anything may follow, unread.
func TestGoodFileFromRawPeer(t *testing.T) {
	for _, victim := range []string{"client", "server"} {
		noLeaks(t)
		watchdog(t, patience)
		c, p := hostileFiles(t, victim)
		pass(t, p.sock, fileFrame(), goodFile(t))
		pass(t, p.sock, []byte("?"), lingering(t, time.Hour))
		if got, err := receiveBlob(t.Context(), c); err != nil || !bytes.Equal(got, make([]byte, 100)) {
			t.Errorf("received %q, %v", got, err)
		}
		prompt(t, "Close", func() { c.Close() })
	}
}

// A file on huge pages that are not there is refused, by its size or for want of
// them, and cannot fault.
func TestHugeFile(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	if _, err := os.Stat("/sys/kernel/mm/hugepages"); err != nil {
		t.Skipf("%v: run on a kernel with CONFIG_HUGETLBFS", err)
	}
	const size = 1 << 42 // more than any machine has set aside
	for maxSize, want := range map[int64]error{size - 1: unix.EFBIG, size: nil} {
		c, p := hostileFiles(t, "server")
		pass(t, p.sock, fileFrame(), rawMemory(t, unix.MFD_HUGETLB, size, finalSeals))
		v, err := c.ReceiveFile(t.Context(), maxSize)
		if v != nil || err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("with a limit of %d: %v, %v", maxSize, v != nil, err)
		}
		c.Close()
	}
}

// A peer that floods the socket with files that nobody asks for fills the
// socket and no more: bytes flow, calls end when they should, and Close does.
func TestEndlessFiles(t *testing.T) {
	for _, victim := range []string{"client", "server"} {
		t.Run(victim, func(t *testing.T) {
			noLeaks(t)
			watchdog(t, patience)
			c, p := hostileFiles(t, victim)
			before := takeFootprint(t)
			flooded := make(chan int, 1)
			go func() {
				fd := goodFile(t)
				defer unix.Close(fd)
				n := 0
				for fdpass.Send(p.sock, fileFrame(), fd) == nil {
					n++
				}
				flooded <- n
			}()
			eventually(t, "the flood stands still", func() bool {
				return bytes.Contains(bytes.Join(asBytes(stacks()), nil), []byte("waitWrite"))
			})
			after := takeFootprint(t)
			if after.fds > before.fds+1 { // the flood's own
				t.Errorf("%d descriptors, were %d", after.fds, before.fds)
			}
			p.mine[0x1000] = 'x'
			p.store(wordTail, 1)
			if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
				t.Errorf("Read: %d, %v", n, err)
			}
			for range 1000 { // as many as one likes, while they come
				if _, err := receiveBlob(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
			prompt(t, "Close", func() { c.Close() })
			if n := <-flooded; n < 1000 {
				t.Errorf("the flood ended after %d files", n)
			}
		})
	}
}

func asBytes(ss []string) (bs [][]byte) {
	for _, s := range ss {
		bs = append(bs, []byte(s))
	}
	return bs
}

// A blocked ReceiveFile learns that the peer has broken the rules elsewhere.
func TestReceiveFileCorrupt(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	for _, victim := range []string{"client", "server"} {
		c, p := hostileFiles(t, victim)
		result := make(chan error, 1)
		go func() {
			_, err := c.ReceiveFile(t.Context(), 1)
			result <- err
		}()
		inSocketCall(t, "receiveFile")
		p.store(wordTail, 4097)
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, shmconn.ErrCorrupt) {
			t.Errorf("Read: %v, want ErrCorrupt", err)
		}
		if err := <-result; !errors.Is(err, shmconn.ErrCorrupt) {
			t.Errorf("ReceiveFile: %v, want ErrCorrupt", err)
		}
		c.Close()
	}
}

// The kernel refuses files to a server that takes none, and one in whose
// handshake they do not belong yet.
func TestFilesRefused(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	l, path := listen(t, "shm", shmconn.ListenConfig{RingSize: 4096})
	p := rawClient(t, rawDial(t, path), 4096)
	c := shared(t, accept(t, l))
	fd := goodFile(t)
	defer unix.Close(fd)
	err := fdpass.Send(p.sock, fileFrame(), fd)
	if err == nil && !hasPassrights(t) {
		t.Skip("the kernel cannot refuse descriptors: run on Linux 6.16 or later")
	}
	if !errors.Is(err, unix.EPERM) {
		t.Errorf("sent to a server that takes none: %v, want EPERM", err)
	}
	p.mine[0x1000] = 'x'
	p.store(wordTail, 1)
	if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("Read: %d, %v", n, err)
	}
}

func hasPassrights(t testing.TB) bool {
	fd := must(t)(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0))
	defer unix.Close(fd)
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 0) == nil
}

// The accept of a client may be followed by its first file at once, but comes
// without descriptors itself.
func TestAcceptAndFile(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	accepts := frame(wire.Accept, wire.OK, 0, 0)
	for _, split := range []int{0, 5} {
		near, far := unixPair(t, socketPath(t))
		read := func(n int) (got []byte, err error) {
			raw, err := near.SyscallConn()
			if err != nil {
				return nil, err
			}
			ctlErr := raw.Control(func(fd uintptr) {
				b := make([]byte, n)
				n, err = shmconn.TryReadBareAhead(fd, b)
				got = b[:n]
			})
			return got, errors.Join(ctlErr, err)
		}
		send(t, far, accepts)
		pass(t, far, fileFrame(), goodFile(t))
		for _, n := range []int{split, 32 - split} {
			if n == 0 {
				continue
			}
			if got, err := read(n); len(got) != n || err != nil {
				t.Fatalf("read %d of %d bytes, %v", len(got), n, err)
			}
		}
		fds, err := fdpass.Receive(near, make([]byte, wire.FrameSize), 1)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fds[0])

		pass(t, far, accepts, lingering(t, time.Hour))
		prompt(t, "a read that drops descriptors", func() {
			if _, err := read(32); err == nil {
				t.Error("an accept with descriptors is read")
			}
		})
	}
}

// A client that takes no files, as one of another language may be.
func TestClientTakesNoFiles(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	l, path := listen(t, "shm", shmconn.ListenConfig{RingSize: 4096, ReceiveFiles: true})
	p := rawClient(t, rawDial(t, path), 4096)
	c := shared(t, accept(t, l))
	if err := sendBlob(t.Context(), c, []byte("x")); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("SendFile: %v, want ErrUnsupported", err)
	}
	pass(t, p.sock, fileFrame(), goodFile(t))
	if _, err := receiveBlob(context.Background(), c); err != nil {
		t.Error(err)
	}
	if _, err := memfd.ReadOnlyFD(-1, 1); !errors.Is(err, memfd.ErrUnsafe) {
		t.Errorf("no descriptor: %v", err)
	}
}
