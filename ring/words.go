//go:build !ringhook

package ring

import "sync/atomic"

// word is one shared word. Only its owner stores. Loads use plain load
// instructions on every machine that has them for 64 bits, so that they work on
// memory that is mapped read-only. Package sync/atomic takes a lock on 32-bit
// MIPS and on ARM before version 7, which orders nothing between processes.
type word struct{ v atomic.Uint64 }

func (w *word) load() uint64 { return w.v.Load() }

// store is ordered before all later loads, which Parking depends on. Store
// would be as well, except under the race detector: its runtime stores to
// memory that it does not know, such as a mapping, with release order only, so
// that the processor may load the other end's word first. An exchange is a
// full barrier everywhere, and on amd64 the same instruction as Store.
func (w *word) store(v uint64) { w.v.Swap(v) }
