package shmconn

// Stats are counters of one connection since it was set up.
type Stats struct {
	BytesRead    uint64 // payload received and read
	BytesWritten uint64 // payload accepted by Write

	ReadParks     uint64 // how often a reader slept, having found nothing
	WriteParks    uint64 // how often a writer slept, having found no space
	WakesSent     uint64 // how often the peer was woken, one system call each
	WakesReceived uint64 // how often a sleeper was woken by the peer
	FullWaits     uint64 // how often a writer found the ring full
}

// Stats returns the connection's counters, also after Close. They are read one
// by one, not as of one moment.
func (c *Conn) Stats() Stats {
	read, written := c.carried()
	return Stats{
		BytesRead:     read,
		BytesWritten:  written,
		ReadParks:     c.in.parks.Load(),
		WriteParks:    c.out.parks.Load(),
		WakesSent:     c.in.wakesSent.Load() + c.out.wakesSent.Load(),
		WakesReceived: c.in.wakesReceived.Load() + c.out.wakesReceived.Load(),
		FullWaits:     c.out.fullWaits.Load(),
	}
}

// carried returns how many bytes have been read and written. The rings count
// them anyway; a second counter would cost each Read and Write another atomic
// store, as dear as the one that publishes.
func (c *Conn) carried() (read, written uint64) {
	c.life.Lock()
	defer c.life.Unlock()
	if c.mine == nil {
		return c.in.total, c.out.total
	}
	return c.in.ring.Consumed(), c.out.ring.Produced()
}
