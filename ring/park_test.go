package ring

// doorbell is how the ends of these tests sleep: a ring is remembered until
// the sleeper takes it, and several count as one.
type doorbell interface {
	ring()
	wait() bool // false to give up
}

// sender and receiver follow the parking protocol of the package comment. The
// stress tests run them on real goroutines, the explorer on every schedule.
type sender struct {
	p            *Producer
	mine, theirs doorbell
	need         func() int // how much space is worth waking up for
}

type receiver struct {
	c            *Consumer
	mine, theirs doorbell
}

// send produces all of b and reports whether it could.
func (s *sender) send(b []byte) bool {
	for len(b) > 0 {
		n, wake, err := s.p.Write(b)
		if wake {
			s.theirs.ring()
		}
		b = b[n:]
		switch {
		case err != nil:
			return false
		case n == 0 && !s.park(s.need()):
			return false
		}
	}
	return true
}

func (s *sender) park(need int) bool {
	s.p.Announce(need)
	if n, err := s.p.Writable(need); n >= need || err != nil {
		return true
	}
	return s.mine.wait()
}

func (s *sender) close() {
	s.p.CloseWrite()
	s.theirs.ring()
}

// receive consumes some bytes into b. It returns 0, io.EOF at the end, and 0,
// nil when its doorbell gives up.
func (r *receiver) receive(b []byte) (int, error) {
	for {
		n, wake, err := r.c.Read(b)
		if wake {
			r.theirs.ring()
		}
		if n > 0 || err != nil {
			return n, err
		}
		if !r.park() {
			return 0, nil
		}
	}
}

func (r *receiver) park() bool {
	r.c.Announce()
	if n, err := r.c.Readable(); n > 0 || err != nil {
		return true
	}
	return r.mine.wait()
}
