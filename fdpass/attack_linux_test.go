package fdpass

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// refused checks that Receive gives up with ErrDescriptors for the reason given. What it has to close
// are tokens, which look for leaks at the end of the test.
func refused(t *testing.T, c *net.UnixConn, frame, n int, reason string) {
	t.Helper()
	fds, err := Receive(c, make([]byte, frame), n)
	if !errors.Is(err, ErrDescriptors) || !strings.Contains(err.Error(), reason) {
		t.Errorf("%v, want ErrDescriptors with %q", err, reason)
	}
	if fds != nil {
		t.Errorf("got descriptors %v beside the error", fds)
		closeAll(fds)
	}
}

// What a caller wants to close itself is closed by nobody else, and nothing that
// it has been given is passed on.
func TestReceiveDiscard(t *testing.T) {
	for sent := range 3 {
		tokens := newTokens(t, sent)
		a, b := socketPair(t, unix.SOCK_STREAM)
		if err := Send(a, []byte("frame"), numbers(t, tokens)...); err != nil {
			t.Fatal(err)
		}
		var discarded []int
		fds, err := ReceiveDiscard(b, make([]byte, 5), 1, func(fds []int) { discarded = append(discarded, fds...) })
		if (err == nil) != (sent == 1) || len(fds)+len(discarded) != sent || err == nil && len(discarded) > 0 {
			t.Errorf("of %d: received %v, discarded %v, %v", sent, fds, discarded, err)
		}
		for _, fd := range append(fds, discarded...) {
			if err := unix.Close(fd); err != nil {
				t.Errorf("close %d: %v", fd, err)
			}
		}
	}
}

// Alignment gives a buffer for three descriptors room for four, without a word
// from the kernel; each count meets another remainder.
func TestAttackWrongCount(t *testing.T) {
	for want := range 6 {
		for _, sent := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 16, MaxFDs} {
			if sent == want {
				continue
			}
			t.Run(fmt.Sprintf("want %d, sent %d", want, sent), func(t *testing.T) {
				tokens := newTokens(t, sent)
				a, b := socketPair(t, unix.SOCK_STREAM)
				if err := Send(a, []byte("frame"), numbers(t, tokens)...); err != nil {
					t.Fatal(err)
				}
				refused(t, b, 5, want, fmt.Sprintf(", want %d", want))
			})
		}
	}
}

// A sender of hundreds of surplus descriptors must not fill the table: a few
// free places are enough to refuse them for what they are.
func TestAttackSurplusIsBounded(t *testing.T) {
	tokens := newTokens(t, MaxFDs)
	a, b := socketPair(t, unix.SOCK_STREAM)
	if err := Send(a, []byte("frame"), numbers(t, tokens)...); err != nil {
		t.Fatal(err)
	}
	_, fds, err := read(b, make([]byte, 1), 3)
	closeAll(fds)
	if !errors.Is(err, ErrDescriptors) || len(fds) > 5 {
		t.Errorf("%d descriptors installed, %v", len(fds), err)
	}
}

// Without a read of byte 0 alone the kernel would hand over all these frames in
// one piece, with the right number of descriptors.
func TestAttackLaterByte(t *testing.T) {
	for at := 1; at < 5; at++ {
		for _, first := range []int{0, 1} {
			for n := range 3 {
				t.Run(fmt.Sprintf("%d on byte 0, 1 on byte %d, want %d", first, at, n), func(t *testing.T) {
					tokens := newTokens(t, first+1)
					fds := numbers(t, tokens)
					a, b := socketPair(t, unix.SOCK_STREAM)
					frame := []byte("frame")
					if err := errors.Join(Send(a, frame[:at], fds[:first]...), Send(a, frame[at:], fds[first:]...)); err != nil {
						t.Fatal(err)
					}
					refused(t, b, len(frame), n, "got")
				})
			}
		}
	}
}

func setOption(t *testing.T, c *net.UnixConn, option int) {
	t.Helper()
	if err := Borrow(func(fds []int) error {
		return unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, option, 1)
	}, c); errors.Is(err, unix.ENOPROTOOPT) {
		t.Skipf("socket option %d: %v: run on Linux 6.5 or later", option, err)
	} else if err != nil {
		t.Fatal(err)
	}
}

// Options that a socket inherits from its listener make the kernel add control
// messages, SO_PASSPIDFD even a descriptor.
func TestAttackOtherControlMessages(t *testing.T) {
	for name, option := range map[string]int{"SO_PASSCRED": unix.SO_PASSCRED, "SO_PASSPIDFD": unix.SO_PASSPIDFD} {
		for n := range 4 {
			t.Run(fmt.Sprintf("%s, %d descriptors", name, n), func(t *testing.T) {
				tokens := newTokens(t, n)
				a, b := socketPair(t, unix.SOCK_STREAM)
				setOption(t, b, option)
				before := openDescriptors(t)["pidfd"]
				if err := Send(a, []byte("frame"), numbers(t, tokens)...); err != nil {
					t.Fatal(err)
				}
				refused(t, b, 5, n, "control ")
				if after := openDescriptors(t)["pidfd"]; after != before {
					t.Errorf("%d pidfds are open, were %d", after, before)
				}
			})
		}
	}
}

// With the descriptor table all but full the kernel installs a part of the set,
// which must pass neither for the whole nor, when it is as large as the number
// wanted, for a smaller set.
func TestDescriptorLimit(t *testing.T) {
	const sent = 3
	for free := range sent {
		for want := range sent + 1 {
			t.Run(fmt.Sprintf("%d free, want %d", free, want), func(t *testing.T) {
				tokens := newTokens(t, sent)
				a, b := socketPair(t, unix.SOCK_STREAM)
				if err := Send(a, []byte("frame"), numbers(t, tokens)...); err != nil {
					t.Fatal(err)
				}
				var fds []int
				var err error
				fillDescriptorTable(t, free, func() { fds, err = Receive(b, make([]byte, 5), want) })
				if !errors.Is(err, ErrDescriptors) || fds != nil {
					t.Errorf("%v, %v; want ErrDescriptors", fds, err)
				}
				// Where the table was at fault, the error says so.
				if err != nil && free < want && !strings.Contains(err.Error(), "RLIMIT_NOFILE") {
					t.Errorf("%v, want a hint at RLIMIT_NOFILE", err)
				}
			})
		}
	}
}

// fillDescriptorTable runs do while only free descriptors can be opened.
func fillDescriptorTable(t *testing.T, free int, do func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = min(old.Cur, 256)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	var fillers []int
	defer func() {
		closeAll(fillers)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	}()
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if errors.Is(err, unix.EMFILE) {
			break
		}
		if err != nil {
			t.Fatal(os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err))
		}
		fillers = append(fillers, fd)
	}
	closeAll(fillers[:free])
	fillers = fillers[free:]
	do()
}
