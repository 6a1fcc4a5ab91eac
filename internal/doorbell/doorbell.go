// Package doorbell lets two processes wake each other through eventfds.
//
// Each end of a connection has one doorbell. The end that waits registers it
// with the runtime's network poller ([Bell]), so that a goroutine that waits
// costs no thread and obeys deadlines and Close. The other end rings it with
// write(2) through the plain descriptor ([Ringer]): registering an eventfd
// that one rings would wake oneself.
//
// The eventfd is created with count 1 and rung by writing 0. Every write is an
// edge to an edge-triggered poller, whatever the count (eventfd_write in
// fs/eventfd.c wakes the wait queue unconditionally), so that the count never
// moves and nobody has to read it. A unix socket or a pipe would not do in
// its place: they wake with WF_SYNC, which asks the scheduler to put the
// sleeper on the waker's own CPU, and the waker is about to spin there.
//
// Both ends share the eventfd's open file description. A hostile peer can
// therefore clear O_NONBLOCK and fill the counter so that write(2) blocks; a
// Ringer never lets that last (see [Ringer.Ring]).
package doorbell

import "errors"

// ErrBlocked reports that ringing blocked, which only a peer that manipulates
// the eventfd can bring about.
var ErrBlocked = errors.New("doorbell blocked by peer")

// ErrNotDoorbell reports that a descriptor received as a doorbell is no eventfd.
var ErrNotDoorbell = errors.New("descriptor is not an eventfd")
