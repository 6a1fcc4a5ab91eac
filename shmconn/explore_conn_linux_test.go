//go:build ringhook

package shmconn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/shmconn/shmconn/internal/explore"
)

// All bytes arrive in order, then EOF, and both ends release their memory: for
// writes that find the ring empty, that fill it, and that do not fit.
func TestExploreStream(t *testing.T) {
	for _, test := range []struct {
		writes []int
		read   int
	}{
		{[]int{1, 1}, 1},
		{[]int{64, 64}, 64},
		{[]int{100}, 40},
		{[]int{64, 1}, 20},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			exploreConns(t, func(x *explore.Explorer, a, b *Conn) func() {
				src, dst := &tracer{x: x, c: a}, &tracer{x: x, c: b}
				x.Go(func() {
					for _, n := range test.writes {
						src.want(src.send(n), nil)
					}
					a.Close()
				})
				x.Go(func() {
					dst.want(dst.drain(test.read), io.EOF)
					b.Close()
				})
				return func() {
					if dst.got != src.sent {
						x.Problem("received %d bytes of %d", dst.got, src.sent)
					}
				}
			})
		})
	}
}

// Two ends answer each other, each with a full ring.
func TestExplorePingPong(t *testing.T) {
	exploreConns(t, func(x *explore.Explorer, a, b *Conn) func() {
		end := func(c *Conn, first bool) {
			tr := &tracer{x: x, c: c}
			for i := range 4 {
				if (i%2 == 0) == first {
					tr.want(tr.send(exploredRing), nil)
				} else {
					tr.want(tr.receive(exploredRing), nil)
				}
			}
			if first {
				c.CloseWrite()
			} else {
				tr.want(tr.receive(1), io.EOF)
			}
		}
		x.Go(func() { end(a, true) })
		x.Go(func() { end(b, false) })
		return func() {}
	})
}

// Both directions are full at once, and a direction's sleeper is not woken in
// place of the other's.
func TestExploreBothWays(t *testing.T) {
	defer func(n int) { *preemptions = n }(*preemptions)
	*preemptions-- // it has more steps than the others
	exploreConns(t, func(x *explore.Explorer, a, b *Conn) func() {
		ta, tb := &tracer{x: x, c: a}, &tracer{x: x, c: b}
		x.Go(func() { ta.want(ta.send(exploredRing+1), nil); a.CloseWrite() })
		x.Go(func() { ta.want(ta.drain(exploredRing), io.EOF) })
		x.Go(func() {
			tb.want(tb.receive(exploredRing), nil)
			tb.want(tb.send(1), nil)
			b.CloseWrite()
			tb.want(tb.drain(exploredRing), io.EOF)
		})
		return func() {
			if ta.got != tb.sent || tb.got != ta.sent {
				x.Problem("received %d bytes of %d, and %d of %d", ta.got, tb.sent, tb.got, ta.sent)
			}
		}
	})
}

// A writer comes to its end when the peer stops reading.
func TestExploreCloseRead(t *testing.T) {
	exploreConns(t, func(x *explore.Explorer, a, b *Conn) func() {
		src, dst := &tracer{x: x, c: a}, &tracer{x: x, c: b}
		x.Go(func() { src.want(src.send(200), syscall.EPIPE) })
		x.Go(func() {
			dst.want(dst.receive(exploredRing), nil)
			b.CloseRead()
		})
		return func() {}
	})
}

// A writer comes to its end when its own end stops writing, and what it says
// that it has sent is what the peer finds before the end.
func TestExploreCloseWrite(t *testing.T) {
	exploreConns(t, func(x *explore.Explorer, a, b *Conn) func() {
		src, dst := &tracer{x: x, c: a}, &tracer{x: x, c: b}
		x.Go(func() { src.want(src.send(exploredRing+1), syscall.EPIPE) })
		x.Go(func() { a.CloseWrite() })
		return func() {
			dst.want(dst.drain(exploredRing), io.EOF)
			if dst.got != src.sent {
				x.Problem("received %d bytes of %d", dst.got, src.sent)
			}
		}
	})
}

// A reader, asleep or not, comes to its end when the peer stops writing, and no
// byte follows it, though a Write was under way.
func TestExploreCloseWriteReader(t *testing.T) {
	exploreConns(t, func(x *explore.Explorer, a, b *Conn) func() {
		src, dst := &tracer{x: x, c: a}, &tracer{x: x, c: b}
		x.Go(func() {
			if err := src.send(1); err != nil {
				src.want(err, syscall.EPIPE)
			}
		})
		x.Go(func() { a.CloseWrite() })
		x.Go(func() { dst.want(dst.drain(exploredRing), io.EOF) })
		return func() {
			if dst.got != src.sent {
				x.Problem("received %d bytes of %d", dst.got, src.sent)
			}
		}
	})
}

// Close ends whatever its own end is at, releases the memory when the last has
// left, and the peer finds what was sent before the end.
func TestExploreClose(t *testing.T) {
	exploreConns(t, func(x *explore.Explorer, a, b *Conn) func() {
		src, dst := &tracer{x: x, c: a}, &tracer{x: x, c: b}
		x.Go(func() { src.want(src.send(exploredRing+1), net.ErrClosed) })
		x.Go(func() { src.want(src.receive(1), net.ErrClosed) })
		x.Go(func() { a.Close() })
		return func() {
			dst.want(dst.drain(exploredRing), io.EOF)
			if dst.got != src.sent {
				x.Problem("received %d bytes of %d", dst.got, src.sent)
			}
			dst.want(dst.send(1), syscall.EPIPE)
			if a.mine != nil {
				x.Problem("memory is still mapped")
			}
		}
	})
}

// A reader, asleep or not, comes to its end when the peer closes, and no byte
// follows it, though a Write was under way.
func TestExploreCloseReader(t *testing.T) {
	exploreConns(t, func(x *explore.Explorer, a, b *Conn) func() {
		src, dst := &tracer{x: x, c: a}, &tracer{x: x, c: b}
		x.Go(func() {
			if err := src.send(1); err != nil {
				src.want(err, net.ErrClosed)
			}
		})
		x.Go(func() { a.Close() })
		x.Go(func() { dst.want(dst.drain(exploredRing), io.EOF) })
		return func() {
			if dst.got != src.sent {
				x.Problem("received %d bytes of %d", dst.got, src.sent)
			}
		}
	})
}

// A reader whose own end is closed hears of that, and not of what the peer does
// in answer.
func TestExploreCloseAnswered(t *testing.T) {
	exploreConns(t, func(x *explore.Explorer, a, b *Conn) func() {
		near, far := &tracer{x: x, c: a}, &tracer{x: x, c: b}
		x.Go(func() { near.want(near.receive(1), net.ErrClosed) })
		x.Go(func() { a.Close() })
		x.Go(func() {
			far.want(far.receive(1), io.EOF)
			b.Close()
		})
		return func() {}
	})
}

// Both ends close at once, twice.
func TestExploreCloseBoth(t *testing.T) {
	exploreConns(t, func(x *explore.Explorer, a, b *Conn) func() {
		for _, c := range []*Conn{a, b} {
			tr := &tracer{x: x, c: c}
			x.Go(func() {
				if err := tr.send(1); err != nil && !errors.Is(err, syscall.EPIPE) {
					x.Problem("error is %v", err)
				}
				c.Close()
				c.Close()
			})
		}
		x.Go(func() {
			if err := (&tracer{x: x, c: a}).drain(1); err != io.EOF && !errors.Is(err, net.ErrClosed) {
				x.Problem("error is %v", err)
			}
		})
		return func() {
			if a.mine != nil || b.mine != nil {
				x.Problem("memory is still mapped")
			}
		}
	})
}

// A peer that dies at any access leaves its reader exactly what it had
// published, awake.
func TestExploreCrash(t *testing.T) {
	exploreConns(t, func(x *explore.Explorer, a, b *Conn) func() {
		src, dst := &tracer{x: x, c: a}, &tracer{x: x, c: b}
		victim := x.Go(func() {
			src.send(50)
			src.send(50)
		})
		x.Go(func() { // the kernel
			victim.Kill()
			b.interrupt(stHungUp)
		})
		x.Go(func() { dst.want(dst.drain(exploredRing), syscall.ECONNRESET) })
		return func() {
			if tail := a.out.ring.Produced(); uint64(dst.got) != tail {
				x.Problem("received %d bytes of %d", dst.got, tail)
			}
		}
	})
}

// So it leaves its writer.
func TestExploreCrashConsumer(t *testing.T) {
	exploreConns(t, func(x *explore.Explorer, a, b *Conn) func() {
		src, dst := &tracer{x: x, c: a}, &tracer{x: x, c: b}
		victim := x.Go(func() {
			dst.receive(exploredRing)
			dst.receive(exploredRing)
		})
		x.Go(func() {
			victim.Kill()
			a.interrupt(stHungUp)
		})
		x.Go(func() { src.want(src.send(4*exploredRing), syscall.EPIPE) })
		return func() {}
	})
}

// Whoever finds the peer breaking the rules wakes the other direction, and the
// peer.
func TestExploreCorrupt(t *testing.T) {
	exploreConns(t, func(x *explore.Explorer, a, b *Conn) func() {
		tr := &tracer{x: x, c: a}
		x.Go(func() { tr.want(tr.receive(1), ErrCorrupt) })
		x.Go(func() {
			var err error
			for err == nil {
				err = tr.send(exploredRing)
			}
			tr.want(err, ErrCorrupt)
		})
		x.Go(func() {
			explore.Pause(nil)
			binary.NativeEndian.PutUint64(b.mine, 1<<40) // the tail
			b.wakePeer(b.news)
			explore.Pause(func() bool { return a.status.v&stCorrupt != 0 })
			buf := make([]byte, exploredRing)
			var err error
			for err == nil {
				_, err = b.Read(buf)
			}
			tr.want(err, io.EOF)
		})
		return func() {}
	})
}

// A deadline that is taken off again does not take the wake-up of a hang-up
// with it.
func TestExploreDeadline(t *testing.T) {
	for name, want := range map[string]error{"read": syscall.ECONNRESET, "write": syscall.EPIPE} {
		t.Run(name, func(t *testing.T) {
			exploreConns(t, func(x *explore.Explorer, a, b *Conn) func() {
				tr := &tracer{x: x, c: a}
				lifted := false
				x.Go(func() {
					call := func() error { return tr.receive(1) }
					if name == "write" {
						call = func() error { return tr.send(2*exploredRing - tr.sent) }
					}
					err := call()
					for errors.Is(err, os.ErrDeadlineExceeded) {
						explore.Pause(func() bool { return lifted })
						err = call()
					}
					tr.want(err, want)
				})
				x.Go(func() {
					a.SetDeadline(longAgo)
					a.SetDeadline(time.Time{})
					lifted = true
				})
				x.Go(func() { a.interrupt(stHungUp) })
				return func() {}
			})
		})
	}
}

// Whoever rouses a reader does not undo what ends its sleep, nor is taken for it.
func TestExploreDoze(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(a *Conn, peer *tracer)
		want error
	}{
		"deadline": {func(a *Conn, _ *tracer) { a.SetReadDeadline(longAgo) }, os.ErrDeadlineExceeded},
		"hang-up":  {func(a *Conn, _ *tracer) { a.interrupt(stHungUp) }, syscall.ECONNRESET},
		"data": {func(_ *Conn, peer *tracer) {
			peer.want(peer.send(1), nil)
			peer.want(peer.send(1), nil)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			defer quietCPUs()
			exploreConns(t, func(x *explore.Explorer, a, b *Conn) func() {
				a.setSpinBudget(0)
				a.in.wait.waits, a.in.wait.skips, a.in.wait.crowd = 1, 100, 100
				tr, peer := &tracer{x: x, c: a}, &tracer{x: x, c: b}
				x.Go(func() {
					var err error
					for err == nil && tr.got < 2 {
						err = tr.receive(2)
					}
					tr.want(err, test.want)
				})
				x.Go(func() { a.rouse() })
				x.Go(func() { test.do(a, peer) })
				return func() {}
			})
		})
	}
}
