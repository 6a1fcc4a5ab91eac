package shmconn_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/internal/soak"
	"github.com/shmconn/shmconn/shmconn"
)

// TestSoakCloseRaces closes connections under everything else that can be called,
// from several goroutines at once, on both ends. Nobody hangs, faults, or gets
// an error that is not of the end.
func TestSoakCloseRaces(t *testing.T) {
	noLeaks(t)
	span := soak.Time(2 * time.Second)
	watchdog(t, span+4*patience)
	l, path := listen(t, "shm", shmconn.ListenConfig{RingSize: 4096})
	closes := 0
	for end := time.Now().Add(span); time.Now().Before(end); closes++ {
		c, s := connect(t, l, path)
		closeRace(t, c, s)
	}
	t.Logf("%d connections", closes)
}

func closeRace(t *testing.T, ends ...*shmconn.Conn) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	run := func(f func() error) {
		wg.Go(func() {
			<-start
			for {
				err := f()
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err != nil && err != io.EOF && !errors.Is(err, unix.EPIPE) && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("error is %v", err)
					return
				}
				runtime.Gosched() // lets Close come into play soon on one CPU
			}
		})
	}
	for _, c := range ends {
		run(func() error { _, err := c.Read(make([]byte, 100)); return err })
		run(func() error { _, err := c.Write(make([]byte, 3000)); return err })
		run(func() error {
			err := c.SetDeadline(time.Now().Add(rand.N(100 * time.Microsecond)))
			if err == nil {
				err = c.SetDeadline(time.Time{})
			}
			return err
		})
		switch rand.N(5) {
		case 0:
			run(c.CloseWrite)
		case 1:
			run(c.CloseRead)
		case 2:
			run(func() error {
				_, err := c.WriteTo(writerFunc(func(b []byte) (int, error) { return len(b), nil }))
				if err == nil {
					err = c.SetReadDeadline(time.Time{})
				}
				return err
			})
		case 3:
			run(func() error {
				_, err := c.ReadFrom(strings.NewReader("some text"))
				return err
			})
		case 4:
			run(func() error {
				c.Stats()
				c.PeerCredentials()
				return c.SetReadDeadline(time.Time{})
			})
		}
		for range 2 {
			wg.Go(func() {
				<-start
				busy(rand.N(100 * time.Microsecond))
				if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
					t.Errorf("close: %v", err)
				}
			})
		}
	}
	close(start)
	wg.Wait()
}

// TestSoakConnectClose leaves nothing behind, however early a connection is
// closed, whether or not anything was sent.
func TestSoakConnectClose(t *testing.T) {
	noLeaks(t)
	span := soak.Time(time.Second)
	watchdog(t, span+2*patience)
	l, path := listen(t, "unix", shmconn.ListenConfig{})
	n := 0
	for end := time.Now().Add(span); time.Now().Before(end); n++ {
		c, s := connect(t, l, path)
		switch n % 4 {
		case 0:
			io.WriteString(c, "never read")
		case 1:
			io.WriteString(s, "never read")
			s.Close()
		case 2:
			if err := exchangeBetween(c, s, strconv.Itoa(n)); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
		s.Close()
	}
	t.Logf("%d connections", n)
}

func exchangeBetween(a, b net.Conn, msg string) error {
	if _, err := io.WriteString(a, msg); err != nil {
		return err
	}
	buf := make([]byte, len(msg))
	if _, err := io.ReadFull(b, buf); err != nil || string(buf) != msg {
		return fmt.Errorf("got %q, %w", buf, err)
	}
	return nil
}
