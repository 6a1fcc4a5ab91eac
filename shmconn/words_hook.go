//go:build ringhook

package shmconn

import "github.com/shmconn/shmconn/internal/explore"

// mutex is sync.Mutex for the threads of package explore.
type mutex struct{ locked bool }

func (m *mutex) Lock() {
	explore.Pause(nil)
	if m.locked {
		explore.Pause(func() bool { return !m.locked })
	}
	m.locked = true
}

func (m *mutex) TryLock() bool {
	explore.Pause(nil)
	if m.locked {
		return false
	}
	m.locked = true
	return true
}

func (m *mutex) Unlock() {
	explore.Pause(nil)
	m.locked = false
	explore.Pause(nil)
}

// flags is atomic.Uint32 for them.
type flags struct{ v uint32 }

func (f *flags) Load() uint32 {
	explore.Pause(nil)
	return f.v
}

func (f *flags) Or(mask uint32) (old uint32) {
	explore.Pause(nil)
	old = f.v
	f.v |= mask
	return old
}
