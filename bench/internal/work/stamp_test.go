package work

import (
	"fmt"
	"testing"
)

func TestCheckAcceptsWhatStampWrites(t *testing.T) {
	for _, size := range []int{8, 16, 64, 4096, 4104, 64 << 10, MaxSize} {
		b := NewMessage(size)
		for _, seq := range []uint64{0, 1, 63, 64, 1 << 40} {
			Stamp(b, seq)
			if err := Check(b, seq); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
	}
}

func TestCheckSeesDamage(t *testing.T) {
	const size, seq = 16 << 10, 64 // a message that is compared in full
	fresh := func() []byte {
		b := NewMessage(size)
		Stamp(b, seq)
		return b
	}
	damages := map[string]func([]byte) []byte{
		"first byte":     func(b []byte) []byte { b[0] ^= 1; return b },
		"last byte":      func(b []byte) []byte { b[size-1] ^= 1; return b },
		"between stamps": func(b []byte) []byte { b[5000] ^= 1; return b },
		"page stamp":     func(b []byte) []byte { b[8192] ^= 1; return b },
		"pages swapped": func(b []byte) []byte {
			swapped := append([]byte(nil), b[4096:8192]...)
			copy(b[4096:8192], b[8192:12288])
			copy(b[8192:12288], swapped)
			return b
		},
		"stale page": func(b []byte) []byte {
			old := NewMessage(size)
			Stamp(old, seq-1)
			copy(b[4096:8192], old[4096:8192])
			return b
		},
		"shifted": func(b []byte) []byte { copy(b, b[8:]); return b },
		"empty":   func(b []byte) []byte { return b[:0] },
	}
	for name, damage := range damages {
		if Check(damage(fresh()), seq) == nil {
			t.Errorf("%s: not seen", name)
		}
	}
	if Check(fresh(), seq+1) == nil {
		t.Error("lost message: not seen")
	}
}

func TestLastMark(t *testing.T) {
	b := NewMessage(64)
	stampLast(b, 7)
	if last, err := checkPiece(b, 7, 0, len(b)); !last || err != nil {
		t.Errorf("checkPiece = %v, %v, want the mark", last, err)
	}
	if Check(b, 7) == nil {
		t.Error("Check accepts a marked message")
	}
}

func TestPieces(t *testing.T) {
	const size, piece = 256 << 10, 64 << 10
	b := NewMessage(size)
	for seq := range uint64(2) {
		Stamp(b, seq)
		for off := 0; off < size; off += piece {
			if _, err := checkPiece(b[off:off+piece], seq, off, size); err != nil {
				t.Error(err)
			}
		}
		if _, err := checkPiece(b[:piece], seq, piece, size); err == nil {
			t.Error("a piece in another's place is not seen")
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	seen := make(map[string]bool)
	for _, w := range All() {
		if seen[w.Name()] {
			t.Errorf("two workloads %q", w.Name())
		}
		seen[w.Name()] = true
		found, err := ByName(w.Name())
		if err != nil || fmt.Sprintf("%#v", found) != fmt.Sprintf("%#v", w) {
			t.Errorf("ByName(%q) = %#v, %v", w.Name(), found, err)
		}
	}
	if _, err := ByName("nonsense"); err == nil {
		t.Error("ByName finds nonsense")
	}
}

func TestSizeString(t *testing.T) {
	for n, want := range map[int]string{8: "8B", 1023: "1023B", 1024: "1KiB", 1536: "1536B", 64 << 10: "64KiB", 8 << 20: "8MiB"} {
		if got := SizeString(n); got != want {
			t.Errorf("SizeString(%d) = %q, want %q", n, got, want)
		}
	}
}
