//go:build !ringhook

package ring

import "sync/atomic"

// word is one shared word. Only its owner stores. Loads use plain load
// instructions on every supported machine, so that they work on memory that is
// mapped read-only.
type word struct{ v atomic.Uint64 }

func (w *word) load() uint64   { return w.v.Load() }
func (w *word) store(v uint64) { w.v.Store(v) }
