package conformance

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// testCloseUnblocks: Close ends 100 sleeping readers and 100 sleeping writers.
func testCloseUnblocks(t *testing.T, s *suite) {
	const each = 100
	near, far := s.pair(t)
	var reads, writes []*call
	writes = append(writes, start(func() (int, error) { return near.Write(big()) }))
	parked(t, 1) // full: those that follow do not find room
	for range each {
		reads = append(reads, startRead(near))
	}
	for range each - 1 {
		writes = append(writes, start(func() (int, error) { return near.Write(make([]byte, 1024)) }))
	}
	parked(t, 2*each)
	must(t, "Close", near.Close())
	for _, c := range reads {
		n, err := c.wait(t)
		wantClosed(t, err, "read")
		if n != 0 {
			t.Errorf("Read = %d, want 0", n)
		}
	}
	written := int64(0)
	for _, c := range writes {
		n, err := c.wait(t)
		wantClosed(t, err, "write")
		written += n
	}
	n, err := far.do(task{Op: "receive", N: -1, Seed: 1})
	wantCount(t, "receive", n, err, written)
}

// testCloseRaces: of many that call Close at once one succeeds, and whoever is at work meanwhile
// gets data or net.ErrClosed.
func testCloseRaces(t *testing.T, s *suite) {
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		near, far := s.pair(t)
		echo := start(func() (int64, error) { return far.do(task{Op: "echo"}) })
		var (
			wg     sync.WaitGroup
			closed [4]error
			first  = make(chan struct{}, 1)
		)
		work := func(f func() error) {
			wg.Go(func() {
				for {
					err := f()
					if errors.Is(err, net.ErrClosed) {
						return
					}
					if err != nil {
						t.Errorf("during Close: %v", err)
						return
					}
				}
			})
		}
		buf := make([]byte, 4096)
		work(func() error {
			_, err := near.Read(make([]byte, 4096))
			select {
			case first <- struct{}{}:
			default:
			}
			return err
		})
		work(func() error { _, err := near.Write(buf); return err })
		work(func() error { return near.SetDeadline(time.Now().Add(never)) })
		work(func() error { return near.SetReadDeadline(time.Time{}) })
		<-first
		for i := range closed {
			wg.Go(func() { closed[i] = near.Close() })
		}
		wg.Wait()
		succeeded := 0
		for _, err := range closed {
			if err == nil {
				succeeded++
			} else {
				wantClosed(t, err, "close")
			}
		}
		if succeeded != 1 {
			t.Errorf("%d of %d Close calls succeeded, want 1", succeeded, len(closed))
		}
		echo.wait(t) // its error depends on how much was under way
	}
}

// testUseAfterClose: every method fails with net.ErrClosed and the Op that package net uses.
func testUseAfterClose(t *testing.T, s *suite) {
	near, far := s.pair(t)
	for _, c := range []duplex{near, far} {
		must(t, "Close", c.Close())
		for range 2 {
			_, err := c.Read(make([]byte, 1))
			wantClosed(t, err, "read")
			_, err = c.Read(nil)
			wantClosed(t, err, "read")
			_, err = c.Write([]byte("x"))
			wantClosed(t, err, "write")
			_, err = c.Write(nil)
			wantClosed(t, err, "write")
			wantClosed(t, c.CloseRead(), "close")
			wantClosed(t, c.CloseWrite(), "close")
			wantClosed(t, c.SetDeadline(after(never)), "set")
			wantClosed(t, c.SetReadDeadline(past), "set")
			wantClosed(t, c.SetWriteDeadline(time.Time{}), "set")
			wantClosed(t, c.Close(), "close")
			if c.LocalAddr() == nil || c.RemoteAddr() == nil {
				t.Error("no address after Close")
			}
		}
	}
	n, err := io.Copy(near, &endless{})
	wantClosed(t, err, "write")
	if n != 0 {
		t.Errorf("io.Copy to a closed connection = %d, want 0", n)
	}
	n, err = io.Copy(io.Discard, near)
	wantClosed(t, err, "read")
	if n != 0 {
		t.Errorf("io.Copy from a closed connection = %d, want 0", n)
	}
}

// testAddresses: both ends agree and say "unix", also when closed. The end that dialed has no name.
func testAddresses(t *testing.T, s *suite) {
	near, far := s.pair(t)
	for _, state := range []string{"open", "closed"} {
		nl, nr, fl, fr := near.LocalAddr(), near.RemoteAddr(), far.LocalAddr(), far.RemoteAddr()
		for _, a := range []net.Addr{nl, nr, fl, fr} {
			if _, ok := a.(*net.UnixAddr); !ok {
				t.Fatalf("%s: address %T, want *net.UnixAddr", state, a)
			}
			if a.Network() != "unix" {
				t.Errorf("%s: network %q, want unix", state, a.Network())
			}
		}
		if nl.String() != fr.String() || nr.String() != fl.String() {
			t.Errorf("%s: near %q to %q, far %q to %q", state, nl, nr, fl, fr)
		}
		if s.child != nil {
			dialed, accepted := near, duplex(far)
			if s.childDials {
				dialed, accepted = far, near
			}
			if a := dialed.LocalAddr().String(); a != "@" {
				t.Errorf("%s: dialed end is %q, want @", state, a)
			}
			if a := accepted.LocalAddr().String(); a != s.child.path {
				t.Errorf("%s: accepted end is %q, want %q", state, a, s.child.path)
			}
		}
		near.Close()
		far.Close()
	}
}

// endless is a reader that never ends.
type endless struct{ off int64 }

func (e *endless) Read(p []byte) (int, error) {
	at := e.off % period
	n := copy(p, pattern()[at:])
	e.off += int64(n)
	return n, nil
}
