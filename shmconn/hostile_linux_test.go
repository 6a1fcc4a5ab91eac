package shmconn_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmconn/shmconn/internal/soak"
	"github.com/shmconn/shmconn/ring"
	"github.com/shmconn/shmconn/shmconn"
)

// Where the words of an end's memory lie.
const (
	wordTail       = 0x000
	wordOrigin     = 0x008
	wordHead       = 0x080
	wordDataEvent  = 0x100
	wordSpaceEvent = 0x108
	wordSendClosed = 0x110
	wordRecvClosed = 0x118
)

var words = []int{wordTail, wordOrigin, wordHead, wordDataEvent, wordSpaceEvent, wordSendClosed, wordRecvClosed}

func (p *rawPeer) store(word int, v uint64) { binary.NativeEndian.PutUint64(p.mine[word:], v) }
func (p *rawPeer) load(word int) uint64     { return binary.NativeEndian.Uint64(p.theirs[word:]) }

// ring wakes the honest end.
func (p *rawPeer) ring() { unix.Write(p.peerBell, make([]byte, 8)) }

// hostilePair connects an honest end, at the given side, to a raw peer.
func hostilePair(t testing.TB, victim string, size int) (*shmconn.Conn, *rawPeer) {
	t.Helper()
	if victim == "server" {
		l, path := listen(t, "shm", shmconn.ListenConfig{RingSize: size})
		p := rawClient(t, rawDial(t, path), size)
		c := shared(t, accept(t, l))
		l.Close()
		return c, p
	}
	l, path := rawListen(t)
	result := make(chan net.Conn, 1)
	go func() {
		c, err := shmconn.Dial("shm", path)
		if err != nil {
			t.Error(err)
		}
		result <- c
	}()
	p := rawServer(t, rawAccept(t, l), size)
	l.Close()
	c := shared(t, <-result)
	t.Cleanup(func() { c.Close() })
	return c, p
}

// dead asserts that both directions of c fail with ErrCorrupt, now and later.
func dead(t testing.TB, c *shmconn.Conn) {
	t.Helper()
	for range 2 {
		n, err := c.Read(make([]byte, 10))
		if op, ok := err.(*net.OpError); n != 0 || !ok || op.Op != "read" || !errors.Is(err, shmconn.ErrCorrupt) {
			t.Errorf("read %d bytes, %v; want ErrCorrupt", n, err)
		}
		n, err = c.Write(make([]byte, 10))
		if op, ok := err.(*net.OpError); n != 0 || !ok || op.Op != "write" || !errors.Is(err, shmconn.ErrCorrupt) {
			t.Errorf("wrote %d bytes, %v; want ErrCorrupt", n, err)
		}
		if _, err := c.WriteTo(io.Discard); !errors.Is(err, shmconn.ErrCorrupt) {
			t.Errorf("WriteTo: %v, want ErrCorrupt", err)
		}
		if _, err := c.ReadFrom(readerFunc(func(b []byte) (int, error) { return len(b), nil })); !errors.Is(err, shmconn.ErrCorrupt) {
			t.Errorf("ReadFrom: %v, want ErrCorrupt", err)
		}
	}
}

// TestFreshMemory shows that a client finds nothing in its memory of what the
// connections before it have carried.
func TestFreshMemory(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	const size = 64 << 10
	l, path := listen(t, "shm", shmconn.ListenConfig{RingSize: size})
	secret := bytes.Repeat([]byte("secret"), 2000)
	for range 20 {
		c, s := connect(t, l, path)
		for _, end := range []net.Conn{c, s} {
			if _, err := end.Write(secret); err != nil {
				t.Fatal(err)
			}
			defer end.Close()
		}
		c.Close()
		s.Close()

		p := rawClient(t, rawDial(t, path), size)
		stranger := accept(t, l)
		defer stranger.Close()
		for name, memory := range map[string][]byte{"server's": p.theirs, "client's": p.mine} {
			if i := bytes.IndexFunc(memory[ring.HeaderSize:], func(r rune) bool { return r != 0 }); i >= 0 {
				t.Errorf("the %s memory holds %q at offset %d", name, memory[ring.HeaderSize+i:][:6], i)
			}
		}
	}
}

// TestViolations breaks the rules of the ring one at a time, under an end that
// looks at it and under one that sleeps.
func TestViolations(t *testing.T) {
	const size = 4096
	type breach struct {
		word  int
		value uint64
	}
	reading := map[string]breach{
		"more than fits":   {wordTail, size + 1},
		"before the start": {wordTail, 1<<64 - 1},
		"far ahead":        {wordTail, 1 << 63},
		"far behind":       {wordTail, 1<<63 + 1},
	}
	writing := map[string]breach{
		"consumed what is not there": {wordHead, size + 1},
		"consumed less than nothing": {wordHead, 1<<64 - 1},
		"consumed far ahead":         {wordHead, 1 << 63},
	}
	fill := func(c *shmconn.Conn) error {
		_, err := c.Write(make([]byte, size+1))
		return err
	}
	take := func(c *shmconn.Conn) error {
		_, err := c.Read(make([]byte, 10))
		return err
	}
	for _, victim := range []string{"client", "server"} {
		for _, group := range []struct {
			op    func(*shmconn.Conn) error
			cases map[string]breach
			slept func(shmconn.Stats) uint64
		}{
			{take, reading, func(s shmconn.Stats) uint64 { return s.ReadParks }},
			{fill, writing, func(s shmconn.Stats) uint64 { return s.WriteParks }},
		} {
			for name, b := range group.cases {
				for _, asleep := range []bool{false, true} {
					t.Run(victim+", "+name, func(t *testing.T) {
						noLeaks(t)
						watchdog(t, patience)
						c, p := hostilePair(t, victim, size)
						result := make(chan error, 1)
						if asleep {
							go func() { result <- group.op(c) }()
							eventually(t, "victim asleep", func() bool { return group.slept(c.Stats()) > 0 })
							p.store(b.word, b.value)
							p.ring()
						} else {
							p.store(b.word, b.value)
							result <- group.op(c)
						}
						if err := <-result; !errors.Is(err, shmconn.ErrCorrupt) {
							t.Errorf("error is %v, want ErrCorrupt", err)
						}
						dead(t, c)
						if err := c.Close(); err != nil {
							t.Errorf("close: %v", err)
						}
						if err := take(c); !errors.Is(err, net.ErrClosed) {
							t.Errorf("after Close: %v, want ErrClosed", err)
						}
					})
				}
			}
		}
	}
}

// TestRewound takes back what has been seen.
func TestRewound(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	c, p := hostilePair(t, "server", 4096)
	p.store(wordTail, 100)
	if n, err := c.Read(make([]byte, 200)); n != 100 || err != nil {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	p.store(wordTail, 99)
	dead(t, c)
}

// TestCorruptWakesTheOther has the direction that does not notice woken by the
// one that does.
func TestCorruptWakesTheOther(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	c, p := hostilePair(t, "client", 4096)
	result := make(chan error, 1)
	go func() {
		_, err := c.Write(make([]byte, 8192))
		result <- err
	}()
	eventually(t, "writer asleep", func() bool { return c.Stats().WriteParks > 0 })
	p.store(wordTail, 1<<40)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, shmconn.ErrCorrupt) {
		t.Errorf("read: %v", err)
	}
	if err := <-result; !errors.Is(err, shmconn.ErrCorrupt) {
		t.Errorf("sleeping writer: %v", err)
	}
}

// strategies yield the next value of a word from its last one, the truth that
// an honest end would publish, and the ring's size.
var strategies = map[string]func(last, truth, size uint64) uint64{
	"huge":      func(_, _, _ uint64) uint64 { return rand.Uint64() | 1<<62 },
	"rewound":   func(_, truth, size uint64) uint64 { return truth - rand.Uint64N(size) },
	"near 2^64": func(_, _, size uint64) uint64 { return -rand.Uint64N(2 * size) },
	"toggling":  func(last, truth, _ uint64) uint64 { return truth + (last^truth^1)&1 },
	"random":    func(_, _, _ uint64) uint64 { return rand.Uint64() },
	"off by one": func(_, truth, size uint64) uint64 {
		return truth + [...]uint64{0, 1, ^uint64(0), size, size + 1, size - 1}[rand.N(6)]
	},
	"plausible": func(last, truth, size uint64) uint64 { return last + rand.Uint64N(size)/8*(rand.Uint64N(2)) },
}

// TestSoakScribble has a peer write anything into every word that it may write,
// and into the payload, while the honest end reads and writes in every way.
// Nothing panics, no call claims more than it was given, what is corrupt stays
// so, and everything ends.
func TestSoakScribble(t *testing.T) {
	noLeaks(t)
	each := soak.Time(2*time.Second) / time.Duration(len(strategies)*(len(words)+1)*2)
	watchdog(t, soak.Time(2*time.Second)*4+4*patience)
	dir := filepath.Dir(socketPath(t))
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	stores := 0
	for name, next := range strategies {
		t.Run(name, func(t *testing.T) {
			for _, victim := range []string{"client", "server"} {
				for i := range len(words) + 1 {
					targets := words // all of them
					if i < len(words) {
						targets = words[i : i+1]
					}
					stores += scribble(t, victim, next, targets, each, text)
				}
			}
		})
	}
	t.Logf("%d hostile stores", stores)
}

// scribble lets one peer run wild for d and returns how often it has stored
// something.
func scribble(t *testing.T, victim string, next func(last, truth, size uint64) uint64, targets []int, d time.Duration, text string) (stores int) {
	const size = 4096
	c, p := hostilePair(t, victim, size)
	var wg sync.WaitGroup
	honest := func(call func() error) {
		wg.Go(func() {
			var corrupt bool
			for {
				err := call()
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if errors.Is(err, os.ErrDeadlineExceeded) {
					continue // which goes before all but Close
				}
				is := errors.Is(err, shmconn.ErrCorrupt)
				if corrupt && !is {
					t.Errorf("%v after ErrCorrupt", err)
					return
				}
				corrupt = is
				if err != nil && !is && err != io.EOF && !errors.Is(err, unix.EPIPE) {
					t.Errorf("error is %v", err)
				}
			}
		})
	}
	honest(func() error {
		buf := make([]byte, 1+rand.N(2*size), 3*size)
		n, err := c.Read(buf)
		if n < 0 || n > len(buf) || err != nil && n != 0 {
			t.Errorf("Read of %d bytes returns %d, %v", len(buf), n, err)
		}
		for _, b := range buf[len(buf):cap(buf)] {
			if b != 0 {
				t.Error("Read writes beyond its buffer")
				break
			}
		}
		return err
	})
	honest(func() error {
		buf := make([]byte, 1+rand.N(2*size))
		n, err := c.Write(buf)
		if n < 0 || n > len(buf) || err == nil && n != len(buf) {
			t.Errorf("Write of %d bytes returns %d, %v", len(buf), n, err)
		}
		return err
	})
	honest(func() error {
		c.SetDeadline(time.Now().Add(time.Millisecond))
		n, err := c.WriteTo(writerFunc(func(b []byte) (int, error) { return len(b), nil }))
		if n < 0 {
			t.Errorf("WriteTo returns %d", n)
		}
		if err == nil {
			err = c.SetDeadline(time.Time{}) // the end, as far as the peer says
		}
		return err
	})
	honest(func() error {
		f, err := os.Open(text)
		if err != nil {
			return err
		}
		defer f.Close()
		n, err := c.ReadFrom(f)
		if n < 0 || n > 100_000 {
			t.Errorf("ReadFrom returns %d", n)
		}
		return err
	})

	last := make([]uint64, len(p.mine)/8)
	for end := time.Now().Add(d); time.Now().Before(end); {
		for range 100 {
			word := targets[rand.N(len(targets))]
			truth := p.load(wordTail) // for what the peer consumes
			if word == wordTail || word == wordOrigin {
				truth = p.load(wordHead)
			}
			v := next(last[word/8], truth, size)
			last[word/8] = v
			p.store(word, v)
			p.mine[ring.HeaderSize+rand.N(size)]++
			stores += 2
		}
		p.ring()
	}
	start := time.Now()
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	wg.Wait()
	if took := time.Since(start); took > patience/2 {
		t.Errorf("close takes %v", took)
	}
	return stores
}

// cpuTime is what this process has used.
func cpuTime(t testing.TB) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestIdleUnderScribble has sleepers stay asleep, whatever the words say that
// do not tell of anything to do.
func TestIdleUnderScribble(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	for _, word := range []int{wordOrigin, wordDataEvent, wordSpaceEvent} {
		c, p := hostilePair(t, "server", 4096)
		var wg sync.WaitGroup
		wg.Go(func() { c.Read(make([]byte, 10)) })
		wg.Go(func() { c.Write(make([]byte, 8192)) })
		eventually(t, "both asleep", func() bool {
			s := c.Stats()
			return s.ReadParks > 0 && s.WriteParks > 0
		})
		p.store(word, rand.Uint64())
		p.ring()
		before := cpuTime(t)
		const nap = 100 * time.Millisecond
		time.Sleep(nap) // what is measured is what is used meanwhile
		if used := cpuTime(t) - before; used > nap/2 {
			t.Errorf("word %#x: %v of CPU time in %v", word, used, nap)
		}
		c.Close()
		wg.Wait()
	}
}

// TestPayloadChanges checks that a reader has what was there at one moment,
// though the peer changes it all the time.
func TestPayloadChanges(t *testing.T) {
	noLeaks(t)
	watchdog(t, patience)
	c, p := hostilePair(t, "client", 4096)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				for i := range 4096 {
					p.mine[ring.HeaderSize+i] = byte(rand.Uint32())
				}
			}
		}
	})
	var tail uint64
	buf := make([]byte, 4096)
	for range 200 {
		tail += 4096
		p.store(wordTail, tail)
		p.ring()
		if n, err := io.ReadFull(c, buf); n != 4096 || err != nil {
			t.Fatalf("read %d bytes, %v", n, err)
		}
		kept := string(buf)
		if kept != string(buf) {
			t.Fatal("what was read changes")
		}
	}
	close(stop)
	wg.Wait()
}
