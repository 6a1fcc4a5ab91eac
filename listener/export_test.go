package listener

import (
	"net"
	"time"
)

var EvictionGrace = evictionGrace

// NewWithGrace is New with another minimum age for eviction.
func NewWithGrace(inner net.Listener, upgrade Upgrade, cfg Config, grace time.Duration) *Listener {
	l := build(inner, upgrade, cfg)
	l.grace = grace
	go l.loop()
	return l
}

// LockDeadline makes SetDeadline, and a deadline that passes, wait until the
// returned function is called.
func (l *Listener) LockDeadline() (unlock func()) {
	l.deadline.mu.Lock()
	return l.deadline.mu.Unlock
}
