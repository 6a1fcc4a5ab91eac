package sharedring

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

var packetWords = []int{4, 64, 1 << 10, 8 << 10, 128 << 10}

// BenchmarkPacket is the benchmark of the Rust crate: in one thread a packet of
// words goes into a queue twice its size, in pieces where it must, and comes
// out and is summed in place.
func BenchmarkPacket(b *testing.B) {
	for _, words := range packetWords {
		b.Run(fmt.Sprintf("%dB", words*8), func(b *testing.B) {
			s, r := pair[uint64](b, 2*words)
			packet, want := packetOf(words)
			b.SetBytes(int64(words * 8))
			b.ReportAllocs()
			for b.Loop() {
				rest, total := packet, uint64(0)
				for len(rest) > 0 {
					if _, err := s.SendTrusted(func(p []uint64) int {
						n := copy(p, rest)
						rest = rest[n:]
						return n
					}); err != nil {
						b.Fatal(err)
					}
					if _, err := r.ReceiveTrusted(func(p []uint64) int {
						total += sum(p)
						return len(p)
					}); err != nil {
						b.Fatal(err)
					}
				}
				if total != want {
					b.Fatal("wrong sum")
				}
			}
		})
	}
}

// BenchmarkPacketCopied is BenchmarkPacket with the calls that copy.
func BenchmarkPacketCopied(b *testing.B) {
	for _, words := range packetWords {
		b.Run(fmt.Sprintf("%dB", words*8), func(b *testing.B) {
			s, r := pair[uint64](b, 2*words)
			packet, want := packetOf(words)
			in := make([]uint64, words)
			b.SetBytes(int64(words * 8))
			b.ReportAllocs()
			for b.Loop() {
				n, _, err1 := s.TrySend(packet)
				m, _, err2 := r.TryReceive(in)
				if n != words || m != words || err1 != nil || err2 != nil || sum(in) != want {
					b.Fatal(n, m, err1, err2)
				}
			}
		})
	}
}

// BenchmarkPacketUnixSocket is BenchmarkPacket over a pair of unix sockets, with
// bare system calls.
func BenchmarkPacketUnixSocket(b *testing.B) {
	for _, words := range packetWords {
		b.Run(fmt.Sprintf("%dB", words*8), func(b *testing.B) {
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer unix.Close(fds[0])
			defer unix.Close(fds[1])
			packet, want := packetOf(words)
			in := make([]uint64, words)
			b.SetBytes(int64(words * 8))
			b.ReportAllocs()
			for b.Loop() {
				rest, buf := bytesOf(packet), bytesOf(in)
				for len(buf) > 0 {
					if len(rest) > 0 {
						n, err := unix.Write(fds[0], rest)
						if err != nil {
							b.Fatal(err)
						}
						rest = rest[n:]
					}
					n, err := unix.Read(fds[1], buf)
					if err != nil {
						b.Fatal(err)
					}
					buf = buf[n:]
				}
				if sum(in) != want {
					b.Fatal("wrong sum")
				}
			}
		})
	}
}

func packetOf(words int) (packet []uint64, total uint64) {
	packet = make([]uint64, words)
	for i := range packet {
		packet[i] = uint64(i)*0x9e3779b97f4a7c15 + 1
	}
	return packet, sum(packet)
}

func sum(p []uint64) uint64 {
	var s0, s1, s2, s3 uint64
	for ; len(p) >= 4; p = p[4:] {
		s0, s1, s2, s3 = s0+p[0], s1+p[1], s2+p[2], s3+p[3]
	}
	return s0 + s1 + s2 + s3
}
