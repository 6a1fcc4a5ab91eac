package listener_test

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/shmconn/shmconn/listener"
)

// temporary is what servers look for in an error of Accept. (net.Error has
// the method too, deprecated as a notion; net/http asks nevertheless.)
type temporary interface{ Temporary() bool }

// failing is a listener whose Accept fails as long as errs has errors.
type failing struct {
	net.Listener
	errs  chan error
	calls atomic.Int32
}

func (f *failing) Accept() (net.Conn, error) {
	f.calls.Add(1)
	select {
	case err := <-f.errs:
		return nil, err
	default:
		return f.Listener.Accept()
	}
}

// TestAcceptErrors: each error of the inner listener comes out of one Accept
// call, unchanged, and the inner listener is asked once for each.
func TestAcceptErrors(t *testing.T) {
	noLeaks(t)
	const n = 4
	inner := &failing{Listener: listenUnix(t), errs: make(chan error, n)}
	var want []error
	for range n - 1 {
		want = append(want, &net.OpError{
			Op: "accept", Net: "unix", Addr: inner.Addr(), Err: os.NewSyscallError("accept4", syscall.EMFILE),
		})
	}
	want = append(want, errors.New("something else"))
	for _, err := range want {
		inner.errs <- err
	}
	l := listener.New(inner, hello, listener.Config{})
	t.Cleanup(func() { l.Close() })
	for i, wantErr := range want {
		eventually(t, "accept loop waiting for a caller", func() bool {
			return goroutinesIn("[select", "listener.(*Listener).loop(") == 1
		})
		if got := inner.calls.Load(); int(got) != i+1 {
			t.Fatalf("%d calls of the inner Accept, want %d", got, i+1)
		}
		_, err := l.Accept()
		if err != wantErr {
			t.Fatalf("Accept: %v, want exactly %v", err, wantErr)
		}
		if te, ok := err.(temporary); i < n-1 && !(ok && te.Temporary()) {
			t.Errorf("%v is not temporary", err)
		}
	}
	dial(t, l, "h")
	mustAccept(t, l)
	wantStats(t, l, listener.Stats{Accepted: 1, Upgraded: 1})
}

// TestReadyBeforeError: a connection that is ready is not held up by a
// temporary error.
func TestReadyBeforeError(t *testing.T) {
	noLeaks(t)
	inner := &failing{Listener: listenUnix(t), errs: make(chan error, 1)}
	l := listener.New(inner, hello, listener.Config{})
	t.Cleanup(func() { l.Close() })
	emfile := os.NewSyscallError("accept4", syscall.EMFILE)
	for range 50 {
		eventually(t, "inner Accept blocked", func() bool {
			return goroutinesIn("[IO wait", "net.(*UnixListener).Accept(", "listener.(*Listener).loop(") == 1
		})
		inner.errs <- emfile // for the call after that one
		dial(t, l, "h")
		eventually(t, "connection and error both waiting", func() bool {
			return goroutinesIn("[select", "listener.(*Listener).loop(") == 1 &&
				goroutinesIn("[select", "listener.(*Listener).serve(") == 1
		})
		mustAccept(t, l).Close()
		if _, err := l.Accept(); err != emfile {
			t.Fatalf("Accept: %v, want %v", err, emfile)
		}
	}
}

// TestInnerClosed: the inner listener closed behind the listener's back.
func TestInnerClosed(t *testing.T) {
	noLeaks(t)
	inner := listenUnix(t)
	l := listener.New(inner, hello, listener.Config{})
	pending := accept(l)
	silent := dial(t, l, "")
	wantStats(t, l, listener.Stats{Accepted: 1, Pending: 1})
	inner.Close()
	wantOpError(t, receive(t, pending).err, "accept", net.ErrClosed)
	_, err := l.Accept()
	wantOpError(t, err, "accept", net.ErrClosed)
	wantEOF(t, silent)
	wantOpError(t, l.Close(), "close", net.ErrClosed)
}
