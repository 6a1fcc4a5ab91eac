package ring

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// TestStoreBeforeLoad has two ends publish a word each and then look at the
// other's, as sleeper and waker do: at least one must see the other. It runs on
// mapped memory, which the race detector treats differently from the heap.
func TestStoreBeforeLoad(t *testing.T) {
	const rounds = 300_000
	var ends [2]*header
	for i := range ends {
		own, _ := mapTwice(t, HeaderSize+MinCapacity)
		h, err := headerOf(own)
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = h
	}
	words := [2]*word{&ends[0].tail, &ends[1].dataEvent}
	var (
		seen  [2][rounds]uint64
		round [2]atomic.Uint64
		wg    sync.WaitGroup
	)
	for i := range 2 {
		wg.Go(func() {
			for r := range uint64(rounds) {
				round[i].Store(r + 1)
				for tries := 0; round[1-i].Load() <= r; tries++ {
					if tries > 1000 {
						runtime.Gosched()
					}
				}
				words[i].store(r + 1)
				seen[i][r] = words[1-i].load()
			}
		})
	}
	wg.Wait()
	missed := 0
	for r := range uint64(rounds) {
		if seen[0][r] <= r && seen[1][r] <= r {
			missed++
		}
	}
	if missed > 0 {
		t.Errorf("in %d of %d rounds neither end saw the other's word", missed, rounds)
	}
}
