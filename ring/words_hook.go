//go:build ringhook

package ring

import "sync/atomic"

// word is the word of words.go for a test that decides the order of all
// accesses: Hook runs before each and, since what follows a store is what the
// other end can see early, after each store.
type word struct{ v atomic.Uint64 }

// Hook is for tests, with the build tag ringhook.
var Hook = func() {}

func (w *word) load() uint64 {
	Hook()
	return w.v.Load()
}

func (w *word) store(v uint64) {
	Hook()
	w.v.Swap(v)
	Hook()
}
