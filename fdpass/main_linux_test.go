package fdpass

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childEnv makes the test binary play the other process of TestTwoProcesses.
const childEnv = "FDPASS_TEST_PEER"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(peerMain())
	}
	os.Exit(m.Run())
}

// socketPair returns both ends of a connection; every blocked call on them ends
// within the deadline.
func socketPair(t testing.TB, kind int) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	conns := make([]*net.UnixConn, 2)
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socketpair")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		conns[i] = c.(*net.UnixConn)
		if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	return conns[0], conns[1]
}

// A token is a pipe, which can be told from all other descriptors of the
// process: its inode number is nobody else's.
type token struct {
	r, w *os.File
	link string
}

// newTokens makes n tokens and checks at the end of the test that no descriptor
// of theirs is left that the test itself did not make.
func newTokens(t testing.TB, n int) []token {
	t.Helper()
	tokens := make([]token, n)
	for i := range tokens {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		link := ""
		if err := Borrow(func(fds []int) error { link, err = os.Readlink(procPath(fds[0])); return err }, w); err != nil {
			t.Fatal(err)
		}
		tokens[i] = token{r, w, link}
	}
	t.Cleanup(func() {
		open := openDescriptors(t)
		for _, k := range tokens {
			if n := open[k.link]; n != 2 {
				t.Errorf("%d descriptors of %s are open, want the 2 of the test", n, k.link)
			}
			k.r.Close()
			k.w.Close()
		}
	})
	return tokens
}

// numbers returns the descriptor numbers of the write ends. The tokens are open
// to the end of the test.
func numbers(t testing.TB, tokens []token) []int {
	t.Helper()
	var fds []int
	for _, k := range tokens {
		if err := Borrow(func(got []int) error { fds = append(fds, got...); return nil }, k.w); err != nil {
			t.Fatal(err)
		}
	}
	return fds
}

func procPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// openDescriptors counts the process's descriptors by what they refer to.
func openDescriptors(t testing.TB) map[string]int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	open := make(map[string]int)
	for _, e := range entries {
		if link, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			// A pidfd is "anon_inode:[pidfd]" or, on its own file system,
			// "pidfd:[inode]".
			if strings.Contains(link, "pidfd:") || strings.Contains(link, "[pidfd]") {
				link = "pidfd"
			}
			open[link]++
		}
	}
	return open
}

// checkReceived checks that fds are the tokens, in order and close-on-exec, and
// closes them.
func checkReceived(t testing.TB, fds []int, tokens []token) {
	t.Helper()
	defer closeAll(fds)
	if len(fds) != len(tokens) {
		t.Fatalf("got %d descriptors, want %d", len(fds), len(tokens))
	}
	for i, fd := range fds {
		if link, err := os.Readlink(procPath(fd)); err != nil || link != tokens[i].link {
			t.Errorf("descriptor %d is %s, %v; want %s", i, link, err, tokens[i].link)
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d: flags %#x, %v; want close-on-exec", i, flags, err)
		}
	}
}
