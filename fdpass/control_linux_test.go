package fdpass

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// encodeControl builds one control message of any kind, after cmsg(3).
func encodeControl(level, kind int32, payload []byte) []byte {
	msg := make([]byte, unix.CmsgSpace(len(payload)))
	n := unix.CmsgLen(len(payload))
	if unix.SizeofPtr == 8 {
		binary.NativeEndian.PutUint64(msg, uint64(n))
	} else {
		binary.NativeEndian.PutUint32(msg, uint32(n))
	}
	binary.NativeEndian.PutUint32(msg[unix.SizeofPtr:], uint32(level))
	binary.NativeEndian.PutUint32(msg[unix.SizeofPtr+4:], uint32(kind))
	copy(msg[unix.CmsgLen(0):], payload)
	return msg
}

func int32s(fds ...int32) []byte {
	var b []byte
	for _, fd := range fds {
		b = binary.NativeEndian.AppendUint32(b, uint32(fd))
	}
	return b
}

func TestParseControl(t *testing.T) {
	rights := func(payload []byte) []byte { return encodeControl(unix.SOL_SOCKET, unix.SCM_RIGHTS, payload) }
	creds := encodeControl(unix.SOL_SOCKET, unix.SCM_CREDENTIALS, make([]byte, unix.SizeofUcred))
	pidfd := encodeControl(unix.SOL_SOCKET, unix.SCM_PIDFD, int32s(9))
	for _, tc := range []struct {
		name string
		oob  []byte
		fds  []int
		ok   bool
	}{
		{"nothing", nil, nil, true},
		{"one", rights(int32s(7)), []int{7}, true},
		{"three", rights(int32s(7, 8, 9)), []int{7, 8, 9}, true},
		{"unpadded", rights(int32s(7))[:unix.CmsgLen(4)], []int{7}, true},
		{"empty rights", rights(nil), nil, false},
		{"two rights", slices.Concat(rights(int32s(7)), rights(int32s(8, 9))), []int{7, 8, 9}, false},
		{"credentials", creds, nil, false},
		{"credentials first", slices.Concat(creds, rights(int32s(7))), []int{7}, false},
		{"credentials last", slices.Concat(rights(int32s(7)), creds), []int{7}, false},
		{"pidfd", pidfd, []int{9}, false},
		{"pidfd last", slices.Concat(rights(int32s(7)), pidfd), []int{7, 9}, false},
		{"pidfd with an error", encodeControl(unix.SOL_SOCKET, unix.SCM_PIDFD, int32s(-3)), nil, false},
		{"other level", encodeControl(unix.SOL_IP, unix.SCM_RIGHTS, int32s(7)), nil, false},
		{"negative", rights(int32s(7, -1, 8)), []int{7, 8}, false},
		{"odd length", rights(append(int32s(7), 1, 2)), []int{7}, false},
		{"header cut off", rights(int32s(7))[:unix.SizeofCmsghdr-1], nil, false},
		{"payload cut off", rights(int32s(7, 8))[:unix.CmsgLen(7)], nil, false},
		{"second cut off", slices.Concat(rights(int32s(7, 8)), []byte{1}), []int{7, 8}, false},
		{"length zero", make([]byte, unix.CmsgSpace(4)), nil, false},
		{"length huge", bytes.Repeat([]byte{0xff}, unix.CmsgSpace(4)), nil, false},
	} {
		fds, err := parseControl(tc.oob)
		if !slices.Equal(fds, tc.fds) || (err == nil) != tc.ok {
			t.Errorf("%s: %v, %v; want %v, ok %v", tc.name, fds, err, tc.fds, tc.ok)
		}
	}
}

// The parser looks at nothing behind the control data: here memory that faults.
func TestParseControlAtTheEdge(t *testing.T) {
	page := unix.Getpagesize()
	mem, err := unix.Mmap(-1, 0, 2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	if err := unix.Mprotect(mem[page:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	whole := encodeControl(unix.SOL_SOCKET, unix.SCM_RIGHTS, int32s(7))
	for n := range len(whole) {
		oob := mem[page-n : page]
		copy(oob, whole)
		fds, err := parseControl(oob)
		if cut := n > 0 && n < unix.CmsgLen(4); (err != nil) != cut {
			t.Errorf("%d bytes of %d: %v, %v", n, len(whole), fds, err)
		}
	}
}

// FuzzParseControl: whatever passes as correct is, byte for byte, what a sender
// of these descriptors would have encoded.
func FuzzParseControl(f *testing.F) {
	f.Add(unix.UnixRights(3))
	f.Add(unix.UnixRights(3, 4, 5))
	f.Add(slices.Concat(unix.UnixRights(3), unix.UnixRights(4)))
	f.Fuzz(func(t *testing.T, oob []byte) {
		fds, err := parseControl(oob)
		if len(fds) > len(oob)/4 {
			t.Fatalf("%d descriptors from %d bytes", len(fds), len(oob))
		}
		for _, fd := range fds {
			if fd < 0 {
				t.Fatalf("descriptor %d", fd)
			}
		}
		if err != nil || len(oob) == 0 {
			return
		}
		n := unix.CmsgLen(4 * len(fds))
		if want := unix.UnixRights(fds...); len(fds) == 0 || len(oob) > len(want) || !bytes.Equal(oob[:n], want[:n]) {
			t.Fatalf("accepted % x as %v", oob, fds)
		}
	})
}

// FuzzControlMessages builds well-formed sequences of messages and compares with
// a model. The script holds, for each message, its kind, its payload's length,
// and the payload.
func FuzzControlMessages(f *testing.F) {
	f.Add([]byte{0, 4, 7, 0, 0, 0})
	f.Add([]byte{0, 8, 7, 0, 0, 0, 8, 0, 0, 0, 1, 4, 9, 0, 0, 0})
	f.Add([]byte{2, 12, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 6, 7, 0, 0, 0, 1, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		var oob []byte
		var want []int
		messages, ok := 0, true
		for len(script) >= 2 {
			kind := int32(script[0]%4) + unix.SCM_RIGHTS
			size := min(int(script[1]), len(script)-2)
			payload := script[2 : 2+size]
			script = script[2+size:]
			oob = append(oob, encodeControl(unix.SOL_SOCKET, kind, payload)...)
			messages++
			ok = ok && kind == unix.SCM_RIGHTS && messages == 1 && size > 0 && size%4 == 0
			if kind != unix.SCM_RIGHTS && kind != unix.SCM_PIDFD {
				continue
			}
			for i := 0; i+4 <= size; i += 4 {
				if fd := int32(binary.NativeEndian.Uint32(payload[i:])); fd >= 0 {
					want = append(want, int(fd))
				} else {
					ok = false
				}
			}
		}
		fds, err := parseControl(oob)
		if !slices.Equal(fds, want) || (err == nil) != ok {
			t.Fatalf("% x: %v, %v; want %v, ok %v", oob, fds, err, want, ok)
		}
	})
}
