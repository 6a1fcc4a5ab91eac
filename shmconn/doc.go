// Package shmconn provides net.Conn over shared memory for two processes on
// one Linux machine that need not trust each other.
//
// A server changes net.Listen("unix", path) to [Listen]("unix", path), a client
// net.Dial to [Dial], and everything that is built on net.Conn keeps working:
// while both sides are busy, data moves between them without system calls,
// kernel copies or wake-ups.
//
//	l, err := shmconn.Listen("unix", "/run/app/app.sock")
//	go http.Serve(l, handler)
//
//	client := &http.Client{Transport: &http.Transport{
//		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
//			return new(shmconn.Dialer).DialContext(ctx, "unix", "/run/app/app.sock")
//		},
//	}}
//
// # Networks
//
// "unix" is shared memory when both ends can, and a plain unix socket
// otherwise, so that servers and clients can be changed one at a time. "shm" is
// shared memory or an error. All other networks are handed to package net, so
// that one dialer serves local and remote addresses. A connection is over
// shared memory exactly when it is a *[Conn].
//
// # How it works
//
// The unix socket is the rendezvous. Over it the server passes two sealed
// memory files, one for each end to write and the other to read, and two
// eventfds by which the ends wake each other. From then on the socket carries
// only what SendFile passes, and tells, by its hang-up, when the peer has died.
// Each memory file holds the ring of one direction (package ring).
// docs/PROTOCOL.md describes all of it byte by byte.
//
// A byte goes from Conn.Write through ring.Producer, perhaps the doorbell, and
// ring.Consumer to Conn.Read.
//
// # Differences from a unix socket
//
// A *Conn behaves as a *net.UnixConn does, down to the errors, except that
//
//   - it has no SyscallConn, File or methods for messages and descriptors: the
//     socket that is left carries no data of Write, and whoever used it would
//     lose data; but memory files whose content is final pass by SendFile and
//     ReceiveFile;
//   - a peer that died without closing is told from one that closed, by
//     ECONNRESET instead of EOF;
//   - a peer that closes before it has read everything looks like one that has
//     read it, EOF, where a socket reports ECONNRESET once;
//   - a direction holds as many bytes as its ring, 4 MiB by default, before Write
//     waits for the reader;
//   - a Write that is blocked ends with EPIPE when either end shuts the direction
//     down;
//   - net.Buffers are written one by one, so that those of concurrent writers may
//     come in between.
//
// # Trust
//
// A peer can do no more harm than over a socket: it can send nonsense, stall or
// go away. It cannot make this process fault, block beyond a deadline, or touch
// other connections; what breaks the rules of the shared memory ends in
// [ErrCorrupt]. Access is controlled by the permissions of the socket file,
// and by ListenConfig.Authorize; memory is limited by ListenConfig.MaxConns.
//
// # Other systems
//
// On systems other than Linux, and on machines without 64-bit atomic
// instructions (32-bit MIPS, ARM before version 7), "unix" is a plain unix
// socket and "shm" fails with errors.ErrUnsupported.
package shmconn
