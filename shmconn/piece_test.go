package shmconn

import "testing"

// Pieces grow with what has been copied, and never exceed 64 KiB: a longer copy
// would hold up the garbage collector.
func TestPiece(t *testing.T) {
	for _, tt := range []struct{ size, done, want int }{
		{0, 0, 0},
		{1, 0, 1},
		{1 << 20, 0, 16 << 10},
		{1 << 20, 5, 16 << 10},
		{1 << 20, 16 << 10, 16 << 10},
		{1 << 20, 32 << 10, 32 << 10},
		{1 << 20, 64 << 10, 64 << 10},
		{1 << 20, 512 << 10, 64 << 10},
		{100 << 10, 96 << 10, 4 << 10},
	} {
		b := make([]byte, tt.size)
		p := piece(b, tt.done)
		if len(p) != tt.want || len(p) > 0 && &p[0] != &b[tt.done] {
			t.Errorf("after %d of %d bytes: %d more, want the %d that follow", tt.done, tt.size, len(p), tt.want)
		}
	}
}
