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
	return Stats{
		BytesRead:     c.in.bytes.Load(),
		BytesWritten:  c.out.bytes.Load(),
		ReadParks:     c.in.parks.Load(),
		WriteParks:    c.out.parks.Load(),
		WakesSent:     c.in.wakesSent.Load() + c.out.wakesSent.Load(),
		WakesReceived: c.in.wakesReceived.Load() + c.out.wakesReceived.Load(),
		FullWaits:     c.out.fullWaits.Load(),
	}
}
