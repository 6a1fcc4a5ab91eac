package hangup

import (
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Watch is one socket under observation.
type Watch struct {
	sock *net.UnixConn
	id   uint64
	gone func()
}

// watcher is the process-wide epoll instance. It is itself registered with the
// runtime's poller, so that its goroutine waits there.
var watcher struct {
	mu      sync.Mutex // guards all below
	watches map[uint64]*Watch
	nextID  uint64
	epoll   *os.File    // nil while there is nothing to watch
	idle    *time.Timer // closes epoll after linger without watches
}

// linger is how long the epoll instance and its goroutine outlive the last
// watch: a client that makes one short connection after another would else
// make a new one each time, which takes 50 us.
const linger = time.Second

// Start calls gone, once, when the far end of sock has been closed by every
// process that had it open, or has shut down writing. gone runs on the
// watcher's goroutine and must not block; it may still run while or shortly
// after Stop is called. Start does not read from sock nor take ownership.
func Start(sock *net.UnixConn, gone func()) (*Watch, error) {
	watcher.mu.Lock()
	defer watcher.mu.Unlock()
	if watcher.epoll == nil {
		if err := open(); err != nil {
			return nil, err
		}
	}
	watcher.nextID++
	w := &Watch{sock: sock, id: watcher.nextID, gone: gone}
	// One-shot: a hang-up lasts, and level-triggered it would be reported for
	// ever; unlike an edge it is still reported if it came before.
	ev := &unix.EpollEvent{
		Events: unix.EPOLLRDHUP | unix.EPOLLONESHOT,
		Fd:     int32(uint32(w.id)),
		Pad:    int32(uint32(w.id >> 32)),
	}
	watcher.watches[w.id] = w
	if err := w.control(unix.EPOLL_CTL_ADD, ev); err != nil {
		w.forget()
		return nil, err
	}
	return w, nil
}

// Stop ends the observation. It is called before the socket is closed.
func (w *Watch) Stop() {
	watcher.mu.Lock()
	defer watcher.mu.Unlock()
	// Closing a socket takes it out of the epoll set only when no duplicate of
	// its descriptor is left, and a child that is being forked has one.
	w.control(unix.EPOLL_CTL_DEL, nil)
	w.forget()
}

// forget drops w. watcher.mu is held.
func (w *Watch) forget() {
	delete(watcher.watches, w.id)
	if len(watcher.watches) == 0 {
		watcher.idle.Reset(linger)
	}
}

// closeIdle closes the epoll instance, which ends the goroutine, if there is
// nothing to watch.
func closeIdle() {
	watcher.mu.Lock()
	defer watcher.mu.Unlock()
	if len(watcher.watches) == 0 && watcher.epoll != nil {
		watcher.epoll.Close()
		watcher.epoll = nil
	}
}

// control applies one epoll_ctl operation to the socket.
func (w *Watch) control(op int, ev *unix.EpollEvent) error {
	ep, err := watcher.epoll.SyscallConn()
	if err != nil {
		return err
	}
	sock, err := w.sock.SyscallConn()
	if err != nil {
		return err
	}
	var ctlErr error
	err = sock.Control(func(fd uintptr) {
		err := ep.Control(func(epfd uintptr) {
			ctlErr = os.NewSyscallError("epoll_ctl", unix.EpollCtl(int(epfd), op, int(fd), ev))
		})
		if ctlErr == nil {
			ctlErr = err
		}
	})
	if err != nil {
		return err
	}
	return ctlErr
}

// open creates the epoll instance and its goroutine. watcher.mu is held.
func open() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	// NewFile registers only what is non-blocking with the poller.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return os.NewSyscallError("fcntl", err)
	}
	watcher.epoll = os.NewFile(uintptr(fd), "hangup")
	if watcher.watches == nil {
		watcher.watches = make(map[uint64]*Watch)
		watcher.idle = time.AfterFunc(linger, closeIdle)
	}
	go run(watcher.epoll)
	return nil
}

// run reports hang-ups until epoll is closed.
func run(epoll *os.File) {
	raw, err := epoll.SyscallConn()
	if err != nil {
		return
	}
	var events [64]unix.EpollEvent
	for {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			n, _ = unix.EpollWait(int(fd), events[:], 0)
			return n > 0
		})
		if err != nil {
			return // closed: nothing is left to watch
		}
		for _, ev := range events[:n] {
			if w := lookup(uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32); w != nil {
				w.gone()
			}
		}
	}
}

func lookup(id uint64) *Watch {
	watcher.mu.Lock()
	defer watcher.mu.Unlock()
	return watcher.watches[id]
}
