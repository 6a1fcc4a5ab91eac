// Package conformance tests a net.Conn against what a *net.UnixConn does.
//
// It runs nettest.TestConn and then a list of what nettest leaves out: half-close, the exact
// errors, deadlines moved under a blocked call, Close against many blocked calls, atomic writes,
// verified bulk transfers, io.Copy in its many shapes, back-pressure, crashes and leaks. The same
// list runs in one process ([TestConn]) and against a peer in another one ([TestTwoProcesses]).
//
// The yardstick is the unix socket: a test that a *net.UnixConn fails is a wrong test. The one
// exception is [Transport.ResetOnCrash], for transports that promise more than a unix socket.
//
// A test package that uses TestTwoProcesses calls [Child] first thing in its TestMain.
package conformance

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/net/nettest"
)

// MakePipe returns two connected ends and a function that releases both and whatever was needed
// to connect them. The ends must have the methods CloseRead and CloseWrite of *net.UnixConn.
type MakePipe = nettest.MakePipe

// A Transport is what makes connections of the kind under test. Its functions may be called from
// several goroutines.
type Transport struct {
	// Name tells the transports given to Child apart. It must not be empty.
	Name string

	// Listen and Dial meet at path, the path of a socket file that does not exist yet. A
	// connection must not buffer more than 6 MiB for each direction: writes of 8 MiB are taken to
	// wait for a reader.
	Listen func(path string) (net.Listener, error)
	Dial   func(path string) (net.Conn, error)

	// ResetOnCrash says that the death of a process that had not closed its end is reported to
	// the other end as ECONNRESET, after the data that was sent before. When false, as for unix
	// sockets, it looks like an orderly end: io.EOF.
	ResetOnCrash bool
}

// MakePipe returns a MakePipe that connects through a new listener each time; c1 is the end that
// dialed.
func (tr Transport) MakePipe() MakePipe {
	return func() (c1, c2 net.Conn, stop func(), err error) {
		dir, err := socketDir()
		if err != nil {
			return nil, nil, nil, err
		}
		path := filepath.Join(dir, "s")
		ln, err := tr.Listen(path)
		if err != nil {
			os.RemoveAll(dir)
			return nil, nil, nil, err
		}
		c1, c2, err = connect(func() (net.Conn, error) { return tr.Dial(path) }, ln.Accept, ln.Close)
		stop = func() {
			for _, c := range []net.Conn{c1, c2} {
				if c != nil {
					c.Close()
				}
			}
			ln.Close()
			os.RemoveAll(dir)
		}
		if err != nil {
			stop()
			return nil, nil, nil, err
		}
		return c1, c2, stop, nil
	}
}

// socketDir makes a directory whose path is short: a socket address holds 107 bytes (unix(7)),
// which the directories of testing.T may exceed.
func socketDir() (string, error) { return os.MkdirTemp("", "cf") }

// connect runs dial and accept at the same time, since a transport may need both to make progress.
// abort must make a pending accept fail; it is called when dial fails.
func connect(dial, accept func() (net.Conn, error), abort func() error) (dialed, accepted net.Conn, err error) {
	done := make(chan error, 1)
	go func() {
		var err error
		accepted, err = accept()
		done <- err
	}()
	dialed, err = dial()
	if err != nil {
		abort()
		return nil, nil, errors.Join(fmt.Errorf("dial: %w", err), ignoreClosed(<-done))
	}
	if err = <-done; err != nil {
		return dialed, nil, fmt.Errorf("accept: %w", err)
	}
	return dialed, accepted, nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// TestConn runs nettest and the list with both ends in this process. Each end has its turn at
// being the one that is examined.
func TestConn(t *testing.T, mp MakePipe) {
	t.Run("Nettest", func(t *testing.T) { runNettest(t, &suite{}, mp) })
	for _, swap := range []bool{false, true} {
		name := "First"
		if swap {
			name = "Second"
		}
		t.Run(name, func(t *testing.T) {
			s := &suite{connect: func() (duplex, peer, func(), error) {
				c1, c2, stop, err := mp()
				if err != nil {
					return nil, nil, nil, err
				}
				if swap {
					c1, c2 = c2, c1
				}
				near, ok1 := c1.(duplex)
				far, ok2 := c2.(duplex)
				if !ok1 || !ok2 {
					stop()
					return nil, nil, nil, fmt.Errorf("%T, %T: CloseRead or CloseWrite missing", c1, c2)
				}
				return near, localPeer{far}, stop, nil
			}}
			s.runAll(t, list)
		})
	}
}

// TestTwoProcesses runs nettest and the list against a child process, started from the running
// executable, which must call Child with the same transport. The end in this process is examined;
// the child's end does as it is told. Once the child accepts, once it dials.
//
// nettest wants both ends in one process: its second end is a stand-in whose every method call is
// carried out by the child on the connection there. Two things are lost by that. The stand-in's
// calls take a detour, so that the far end is not driven as fast as in one process; and nettest's
// check that a buffer is not touched after its call has returned holds for the end in this
// process alone. Since each end, dialed and accepted, is once the near one, no code goes unchecked.
func TestTwoProcesses(t *testing.T, tr Transport) {
	for _, childDials := range []bool{false, true} {
		name := "ChildAccepts"
		if childDials {
			name = "ChildDials"
		}
		t.Run(name, func(t *testing.T) {
			ch := startChild(t, tr, childDials)
			s := &suite{child: ch, transport: tr, childDials: childDials, connect: ch.connect}
			t.Run("Nettest", func(t *testing.T) {
				runNettest(t, s, func() (net.Conn, net.Conn, func(), error) { return ch.connect() })
			})
			s.runAll(t, list)
			s.runAll(t, crashList)
		})
	}
}

func runNettest(t *testing.T, s *suite, mp MakePipe) {
	defer s.guard(t)()
	nettest.TestConn(t, mp)
}

// list holds what applies in one process and in two.
var list = []test{
	{"HalfClose", testHalfClose},
	{"EOF", testEOF},
	{"EOFWakesReader", testEOFWakesReader},
	{"DataAfterClose", testDataAfterClose},
	{"BrokenPipe", testBrokenPipe},
	{"BrokenPipeWakesWriter", testBrokenPipeWakesWriter},
	{"OwnCloseWrite", testOwnCloseWrite},
	{"OwnCloseRead", testOwnCloseRead},
	{"ReadDeadline", testReadDeadline},
	{"WriteDeadline", testWriteDeadline},
	{"ReadDeadlineMoved", testReadDeadlineMoved},
	{"WriteDeadlineMoved", testWriteDeadlineMoved},
	{"PastDeadline", testPastDeadline},
	{"CloseUnblocks", testCloseUnblocks},
	{"CloseRaces", testCloseRaces},
	{"UseAfterClose", testUseAfterClose},
	{"Addresses", testAddresses},
	{"ZeroLength", testZeroLength},
	{"OneByteReads", testOneByteReads},
	{"LargeBuffer", testLargeBuffer},
	{"BackPressure", testBackPressure},
	{"Exchange", testExchange},
	{"ConcurrentWriters", testConcurrentWriters},
	{"ConcurrentReaders", testConcurrentReaders},
	{"Echo", testEcho},
	{"Buffers", testBuffers},
	{"CopyFile", testCopyFile},
	{"CopyLimited", testCopyLimited},
	{"CopyReaders", testCopyReaders},
	{"CopyDeadline", testCopyDeadline},
	{"CopyProxy", testCopyProxy},
	{"CopySlowSource", testCopySlowSource},
	{"CopyStuckSink", testCopyStuckSink},
	{"CopyStuckConn", testCopyStuckConn},
	{"Leaks", testLeaks},
}

// crashList needs a peer that can die.
var crashList = []test{
	{"ExitAfterClose", testExitAfterClose},
	{"ExitWithoutClose", testExitWithoutClose},
	{"ExitAfterCloseWrite", testExitAfterCloseWrite},
	{"KillWakesReader", testKillWakesReader},
	{"KillWakesWriter", testKillWakesWriter},
	{"KillDuringTransfer", testKillDuringTransfer},
	{"KillLeaks", testKillLeaks},
}
