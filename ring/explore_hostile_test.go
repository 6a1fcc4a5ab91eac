//go:build ringhook

package ring

import "testing"

// A hostile peer changes its word at every access: what was checked is what is
// used, so that whatever an operation returns without error is within bounds.
func TestWordsChangeBetweenLoads(t *testing.T) {
	defer func(h func()) { Hook = h }(Hook)
	const good, bad = 10, 1 << 40
	for pattern := range 1 << 8 {
		toggle := func(mem []byte, at int) {
			i := 0
			Hook = func() {
				setWord64(mem, at, good)
				if pattern>>i&1 != 0 {
					setWord64(mem, at, bad)
				}
				i = (i + 1) % 8
			}
		}
		e := newEnds(t, 64, 0)
		toggle(e.a, atTail)
		n, err := e.c.Readable()
		Hook = func() {}
		if n != good && err == nil || n != 0 && err != nil {
			t.Fatalf("pattern %b: Readable = %d, %v", pattern, n, err)
		}

		e = newEnds(t, 64, 0)
		e.write(t, make([]byte, 64))
		toggle(e.b, atHead)
		n, err = e.p.Writable(1)
		Hook = func() {}
		if n != good && err == nil || n != 0 && err != nil {
			t.Fatalf("pattern %b: Writable = %d, %v", pattern, n, err)
		}
	}
}
