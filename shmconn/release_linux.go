package shmconn

import (
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The attack: a descriptor whose release blocks, sent to somebody who has not
// asked for one. A TCP socket with SO_LINGER and unsent data will do, which
// needs no privilege. The sender closes its own copy, and whoever then drops
// the last reference waits for as long as the sender pleases: in close(2) of
// the socket that still holds the message, and even in a plain read(2), for
// which the kernel throws the message's descriptors away.
//
// So nothing is read before a look at it has shown that there are no
// descriptors, and a socket that holds unread bytes is closed on a goroutine of
// its own. Linux 6.16 and later spare us the rest of it: there the sender of
// descriptors that the receiver does not want gets an error.

// refuseDescriptors makes the kernel refuse, as far as it can, whatever
// descriptors the peer wants to send from now on.
func refuseDescriptors(sock *net.UnixConn) {
	setOption(sock, unix.SO_PASSRIGHTS, 0)
	inlineOutOfBand(sock)
}

// acceptDescriptors undoes refuseDescriptors.
func acceptDescriptors(sock *net.UnixConn) { setOption(sock, unix.SO_PASSRIGHTS, 1) }

// inlineOutOfBand keeps out-of-band bytes where they are in the stream.
// Otherwise a read would drop them, with their descriptors, while a look passes
// over them.
func inlineOutOfBand(sock *net.UnixConn) { setOption(sock, unix.SO_OOBINLINE, 1) }

func setOption(sock *net.UnixConn, option, value int) {
	if raw, err := sock.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, value) })
	}
}

// tryReadBare is tryRead for bytes that must not come with descriptors. If they
// do, the error is errDescriptors, and the descriptors are left where they are.
func tryReadBare(fd uintptr, b []byte) (int, error) {
	// Without a buffer for descriptors MSG_PEEK takes none, and MSG_CTRUNC says
	// that there are some: with these bytes, or with the next one, which the
	// kernel looks at as well.
	n, _, flags, _, err := unix.Recvmsg(int(fd), b, nil, unix.MSG_PEEK|unix.MSG_DONTWAIT)
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		return 0, errDescriptors
	}
	if err == nil && n > 0 {
		// Nobody else reads, so that these are the bytes just seen.
		n, err = unix.Read(int(fd), b[:n])
	}
	return readResult(n, err)
}

// tryReadBareAhead is tryReadBare for bytes that a file may follow, which the
// look cannot tell from descriptors of theirs. The read can: it goes no further
// than it is asked to. If they do come with descriptors, those are dropped.
func tryReadBareAhead(fd uintptr, b []byte) (n int, err error) {
	n, err = tryReadBare(fd, b)
	if err != errDescriptors {
		return n, err
	}
	flags := 0
	unblocked(func() {
		n, _, flags, _, err = unix.Recvmsg(int(fd), b, nil, unix.MSG_DONTWAIT)
	})
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		return 0, errDescriptors
	}
	return readResult(n, err)
}

// tryPeek is tryRead for bytes that stay where they are.
func tryPeek(fd uintptr, b []byte) (int, error) {
	n, _, _, _, err := unix.Recvmsg(int(fd), b, nil, unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return readResult(n, err)
}

// closeSocket closes sock, whose peer may have put something into it that
// blocks. After it, another Close of sock returns at once.
//
// A descriptor is closed on whichever goroutine is the last to use it, be it one
// that just sets a deadline. So none may be the last before the socket is empty.
func closeSocket(sock *net.UnixConn) error {
	raw, err := sock.SyscallConn()
	if err != nil || !laden(raw) {
		return sock.Close()
	}
	begun := make(chan struct{})
	go func() {
		err := raw.Control(func(fd uintptr) {
			go sock.Close()                        // ends after this function
			for sock.SetDeadline(longAgo) == nil { // until Close has begun
				runtime.Gosched()
			}
			close(begun)
			unblocked(func() { drain(int(fd)) })
		})
		if err != nil {
			close(begun) // somebody else has closed it
		}
	}()
	<-begun
	return nil
}

// drain drops what is in a socket that nothing more can come into.
func drain(fd int) {
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_OOBINLINE, 1)
	buf := make([]byte, 64<<10)
	for {
		n, _, _, _, err := unix.Recvmsg(fd, buf, nil, unix.MSG_DONTWAIT)
		if err != unix.EINTR && (err != nil || n == 0) {
			return
		}
	}
}

// laden reports whether there are unread bytes in a socket, and sees to it that
// no more come.
func laden(raw syscall.RawConn) bool {
	unread := 0
	raw.Control(func(fd uintptr) {
		unix.Shutdown(int(fd), unix.SHUT_RDWR)
		unread, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ)
	})
	return unread > 0
}

// releaseDelay is how long the first descriptor that f closes or drops may block
// in unblocked, and releaseAgain any other: a socket can hold hundreds.
const (
	releaseDelay = 100 * time.Millisecond
	releaseAgain = time.Millisecond
)

// closers bounds how many threads are in closeLater. What a file system in user
// space has a close(2) wait for, no signal ends, and one client after another
// could bring about such waits: better to run out of descriptors, which can be
// dealt with, than of threads, which ends the process.
var closers = make(chan struct{}, 64)

// closeLater closes descriptors that are not what they should be, without
// waiting for it.
func closeLater(fds []int) {
	go func() {
		closers <- struct{}{}
		defer func() { <-closers }()
		unblocked(func() { closeAll(fds) })
	}()
}

// unblocked runs f, which closes or drops descriptors, and keeps it from blocking for
// long: each takes a thread, of which a process has no more than 10,000. A
// signal ends the wait of a socket that lingers. SIGURG is the one that the Go
// runtime sends itself for other reasons and ignores when it has none.
func unblocked(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, thread := os.Getpid(), unix.Gettid()
	var mu sync.Mutex // guards done, and keeps the thread ours while it gets a signal
	done := false
	var timer *time.Timer
	mu.Lock()
	timer = time.AfterFunc(releaseDelay, func() {
		mu.Lock()
		defer mu.Unlock()
		if !done {
			unix.Tgkill(pid, thread, unix.SIGURG)
			timer.Reset(releaseAgain)
		}
	})
	mu.Unlock()
	f()
	mu.Lock()
	done = true
	mu.Unlock()
	timer.Stop()
}
