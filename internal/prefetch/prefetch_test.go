package prefetch

import (
	"bytes"
	"testing"
)

// TestForWrite leaves memory as it is, at any alignment and length, also at
// the end of what there is.
func TestForWrite(t *testing.T) {
	memory := bytes.Repeat([]byte{0xA5}, 4096)
	want := bytes.Clone(memory)
	for _, n := range []int{0, 1, 63, 64, 65, 1000, 4096} {
		ForWrite(memory[len(memory)-n:])
		ForWrite(memory[:n])
	}
	ForWrite(nil)
	if !bytes.Equal(memory, want) {
		t.Error("memory has changed")
	}
}

func BenchmarkForWrite(b *testing.B) {
	memory := make([]byte, 64)
	for b.Loop() {
		ForWrite(memory)
	}
}
