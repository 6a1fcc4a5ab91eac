// Package hangup tells when the far end of a connected unix socket is gone.
//
// The kernel closes a process's descriptors however it ends, so that the
// socket that a connection was set up over reports the death of the peer. All
// watched sockets share one epoll instance and one goroutine, which end a
// second after the last watch: an idle connection costs neither a goroutine nor
// CPU time.
package hangup
