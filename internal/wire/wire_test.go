package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestBytes pins the encoding, which is a protocol between processes.
func TestBytes(t *testing.T) {
	f := Frame{Version: 1, Kind: Offer, Status: Busy, ToClient: 0x0102030405060708, ToServer: 4096}
	want := "\xf5shmconn" + "\x01\x03\x05" + "\x00\x00\x00\x00\x00" +
		"\x08\x07\x06\x05\x04\x03\x02\x01" + "\x00\x10\x00\x00\x00\x00\x00\x00"
	if got := string(f.Encode()); got != want {
		t.Errorf("encoded %q, want %q", got, want)
	}
	got, err := Decode([]byte(want), Offer)
	if err != nil || got != f {
		t.Errorf("decoded %+v, %v; want %+v", got, err, f)
	}
}

func TestDecode(t *testing.T) {
	change := func(at int, to byte) []byte {
		b := Frame{Version: Version, Kind: Hello}.Encode()
		b[at] = to
		return b
	}
	for _, test := range []struct {
		name string
		b    []byte
		kind Kind
		want error
	}{
		{"correct", change(31, 1), Hello, nil},
		{"empty", nil, Hello, ErrNotFrame},
		{"short", change(0, 0xf5)[:FrameSize-1], Hello, ErrNotFrame},
		{"long", append(change(0, 0xf5), 0), Hello, ErrNotFrame},
		{"magic", change(7, 'N'), Hello, ErrNotFrame},
		{"version 0", change(8, 0), Hello, ErrVersion},
		{"version 2", change(8, 2), Hello, ErrVersion},
		{"version 2 of another kind", change(8, 2), Offer, ErrVersion},
		{"version 0 in a greeting", Frame{Kind: Greeting}.Encode(), Greeting, ErrVersion},
		{"version 2 in a greeting", Frame{Version: 2, Kind: Greeting}.Encode(), Greeting, nil},
		{"version 255 in a greeting", Frame{Version: 255, Kind: Greeting}.Encode(), Greeting, nil},
		{"kind", change(9, byte(Accept)), Hello, ErrMalformed},
		{"kind 0", change(9, 0), Hello, ErrMalformed},
		{"kind 255", change(9, 255), Hello, ErrMalformed},
		{"files in a hello", change(11, 1), Hello, ErrMalformed},
		{"files in a file", Frame{Version: Version, Kind: File, Files: true}.Encode(), File, ErrMalformed},
		{"files in a memory", Frame{Version: Version, Kind: Memory, Files: true}.Encode(), Memory, nil},
		{"files in an accept", Frame{Version: Version, Kind: Accept, Files: true}.Encode(), Accept, nil},
		{"unknown flag", append(Frame{Version: Version, Kind: Accept}.Encode()[:11], append([]byte{2}, make([]byte, 20)...)...), Accept, ErrMalformed},
		{"reserved", change(12, 1), Hello, ErrMalformed},
		{"reserved, last", change(15, 1), Hello, ErrMalformed},
		{"any status", change(10, 255), Hello, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, err := Decode(test.b, test.kind)
			if !errors.Is(err, test.want) {
				t.Errorf("error is %v, want %v", err, test.want)
			}
			if err != nil && f != (Frame{}) {
				t.Errorf("frame is %+v beside an error", f)
			}
		})
	}
}

// TestMagic is what the replay of plain bytes relies on: no text begins so.
func TestMagic(t *testing.T) {
	if len(Magic) != 8 || utf8.ValidString(Magic[:1]) || utf8.RuneStart(Magic[0]) && utf8.FullRuneInString(Magic) && utf8.ValidString(Magic) {
		t.Errorf("%q could begin a text", Magic)
	}
	for n := range len(Magic) + 1 {
		if !Prefix([]byte(Magic[:n])) {
			t.Errorf("Prefix(%q) is false", Magic[:n])
		}
		if n > 0 && Prefix([]byte(Magic[:n-1]+"?")) {
			t.Errorf("Prefix(%q) is true", Magic[:n-1]+"?")
		}
	}
	if !strings.HasPrefix(MarkPrefix, "@") {
		t.Errorf("mark %q is not in the form of package net", MarkPrefix)
	}
}

// TestTexts has every status and kind say something of its own.
func TestTexts(t *testing.T) {
	seen := make(map[string]bool)
	for s := Plain; s <= Busy+1; s++ {
		text := Refusal(s).Error()
		if text == "" || seen[text] {
			t.Errorf("status %d: %q", s, text)
		}
		seen[text] = true
	}
	for k := Kind(0); k <= File+1; k++ {
		text := k.String()
		if text == "" || seen[text] {
			t.Errorf("kind %d: %q", k, text)
		}
		seen[text] = true
	}
}

// FuzzDecode checks that what is accepted is exactly what Encode makes, and
// that a prefix of it is one.
func FuzzDecode(f *testing.F) {
	for k := Greeting; k <= File; k++ {
		f.Add(Frame{Version: Version, Kind: k, Status: OK, ToClient: 4096, ToServer: 1 << 30}.Encode(), byte(k))
	}
	f.Add(Frame{Version: 2, Kind: Greeting}.Encode(), byte(Greeting))
	f.Add([]byte(Magic), byte(Hello))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a.example\r\n"), byte(Hello))
	f.Fuzz(func(t *testing.T, b []byte, kind byte) {
		frame, err := Decode(b, Kind(kind))
		if err != nil {
			if frame != (Frame{}) {
				t.Errorf("frame %+v beside error %v", frame, err)
			}
			if !errors.Is(err, ErrNotFrame) && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrVersion) {
				t.Errorf("error %v is none of ours", err)
			}
			return
		}
		if again := frame.Encode(); !bytes.Equal(again, b) {
			t.Errorf("%x decodes to %+v, which is %x", b, frame, again)
		}
		if frame.Kind != Kind(kind) {
			t.Errorf("kind %v, want %d", frame.Kind, kind)
		}
		for n := range len(b) + 1 {
			if !Prefix(b[:n]) {
				t.Errorf("Prefix of %d bytes is false", n)
			}
		}
	})
}
