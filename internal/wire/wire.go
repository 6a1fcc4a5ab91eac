// Package wire is the encoding of what goes over the unix socket: five fixed
// frames that set up a connection, and one that carries a file afterwards. It
// knows bytes only.
//
// A client that speaks the protocol has marked itself (see [MarkPrefix]). Then
//
//	server -> client  greeting  highest version that the server speaks
//	client -> server  hello     version chosen, ring capacities wished for
//	server -> client  offer     status, ring capacities
//	server -> client  memory    the descriptors on byte 0; only if the status is OK
//	client -> server  accept    status
//
// after which the socket's hang-up tells of a dead peer, and the socket carries
// only
//
//	either -> other   file      a descriptor on byte 0; only if the other takes files
//
// All frames are [FrameSize] bytes, integers little-endian:
//
//	offset size
//	0      8    magic
//	8      1    version
//	9      1    kind
//	10     1    status
//	11     1    1 in a memory or accept frame whose sender takes files, else 0
//	12     4    zero
//	16     8    capacity of the ring from server to client, in bytes
//	24     8    capacity of the ring from client to server, in bytes
package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// Version is the protocol version that this package speaks.
	Version = 1

	// FrameSize is the size of every frame in bytes.
	FrameSize = 32

	// Magic begins every frame. It is no valid UTF-8, no TLS record and no
	// HTTP, so that no text protocol begins with it.
	Magic = "\xf5shmconn"

	// MarkPrefix begins the abstract address that a client binds before it
	// connects, in the form that package net prints; random letters follow.
	MarkPrefix = "@shmconn/1/"
)

// Kind says which of the frames it is.
type Kind uint8

// The frames in the order of the handshake, and the one that can follow it.
const (
	Greeting Kind = 1 + iota
	Hello
	Offer
	Memory
	Accept
	File
)

// String returns the name of the frame.
func (k Kind) String() string {
	if k >= Greeting && k <= File {
		return [...]string{"greeting", "hello", "offer", "memory", "accept", "file"}[k-Greeting]
	}
	return fmt.Sprintf("frame kind %d", uint8(k))
}

// Status is the verdict in an offer or accept; 0 elsewhere.
type Status uint8

const (
	OK         Status = iota // shared memory it is
	Plain                    // go on over the socket as it is
	Refused                  // the server does not want this client
	BadRequest               // the hello asks for what cannot be
	BadVersion               // the hello chose a version that was not greeted
	Busy                     // no room for another connection now
)

// Refusal is the error of an offer by which the server declines.
type Refusal Status

// Error tells the client's user why.
func (r Refusal) Error() string {
	switch Status(r) {
	case Plain:
		return "server offers no shared memory"
	case Refused:
		return "connection refused by server's policy"
	case BadRequest:
		return "server rejects the requested ring size"
	case BadVersion:
		return "server does not speak this protocol version"
	case Busy:
		return "server has no room for another connection"
	}
	return fmt.Sprintf("server declines with status %d", uint8(r))
}

var (
	// ErrNotFrame reports bytes that belong to some other protocol.
	ErrNotFrame = errors.New("not a shmconn frame")

	// ErrMalformed reports a frame that breaks the protocol.
	ErrMalformed = errors.New("malformed frame")

	// ErrVersion reports a version that this package does not speak.
	ErrVersion = errors.New("unsupported protocol version")
)

// Frame is one message.
type Frame struct {
	Version  uint8  // of the protocol; in a greeting the highest that the server speaks
	Kind     Kind   // which of the frames
	Status   Status // OK but in Offer and Accept
	Files    bool   // the sender takes files; false but in Memory and Accept
	ToClient uint64 // capacity of the ring from server to client; 0 in a hello means the server's default
	ToServer uint64 // capacity of the ring from client to server; likewise
}

// Encode returns the frame's bytes.
func (f Frame) Encode() []byte {
	b := make([]byte, FrameSize)
	copy(b, Magic)
	b[8], b[9], b[10] = f.Version, byte(f.Kind), byte(f.Status)
	if f.Files {
		b[11] = 1
	}
	binary.LittleEndian.PutUint64(b[16:], f.ToClient)
	binary.LittleEndian.PutUint64(b[24:], f.ToServer)
	return b
}

// Prefix reports whether b, however short, can be the beginning of a frame.
func Prefix(b []byte) bool {
	n := min(len(b), len(Magic))
	return string(b[:n]) == Magic[:n]
}

// Decode checks that b is a frame of the given kind and returns it. The error
// wraps ErrNotFrame, ErrVersion or ErrMalformed. A version above ours is an
// error except in a greeting, by which a newer server lets us choose ours.
func Decode(b []byte, kind Kind) (Frame, error) {
	if len(b) != FrameSize || !Prefix(b) {
		return Frame{}, ErrNotFrame
	}
	f := Frame{
		Version:  b[8],
		Kind:     Kind(b[9]),
		Status:   Status(b[10]),
		Files:    b[11] == 1,
		ToClient: binary.LittleEndian.Uint64(b[16:]),
		ToServer: binary.LittleEndian.Uint64(b[24:]),
	}
	switch {
	case f.Version < Version, f.Version > Version && kind != Greeting:
		return Frame{}, fmt.Errorf("%w: %d", ErrVersion, f.Version)
	case f.Kind != kind:
		return Frame{}, fmt.Errorf("%w: %v where %v is due", ErrMalformed, f.Kind, kind)
	case b[11] > 1, f.Files && kind != Memory && kind != Accept, !bytes.Equal(b[12:16], make([]byte, 4)):
		return Frame{}, fmt.Errorf("%w: reserved bytes are not zero", ErrMalformed)
	}
	return f, nil
}
