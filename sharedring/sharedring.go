// Package sharedring is a queue of fixed-size items in memory that two
// processes share: one sends, the other receives, and neither has to trust the
// other. A transfer costs no system call while the queue is neither empty nor
// full.
//
// The memory format is that of version 0.3 of the Rust crate shmem-ipc, module
// sharedring, so that a Go end and a Rust end share a queue; docs/SHAREDRING.md
// describes it for other languages.
//
// # Setting up
//
// One process makes its end with [NewSender] or [NewReceiver] and hands the
// capacity and three files to the other, over a unix socket or D-Bus: the
// memory file, the empty signal and the full signal. The other attaches with
// [OpenReceiver] or [OpenSender]. Both name the same item type and the same
// capacity; the format holds neither, and a mismatch is noticed only where it
// leads to another size of the memory file.
//
// # Items
//
// An item is a Go type that is nothing but bytes: integers, floats, complex
// numbers, and arrays and structs of them. What holds a pointer could not be
// understood elsewhere, padding would leak what was in memory before, and bool
// has bytes that are no value of it, which a hostile peer could send. All of
// them are refused with [ErrItemType].
//
// # Hostile peers
//
// The peer can write to all of the memory at any time. A receiver of items
// therefore checks them as it would check bytes from a socket, after they have
// been copied. [Sender.Send] and [Receiver.Receive] copy; [Sender.SendRaw] and
// [Receiver.ReceiveRaw] give the memory itself and leave the rule to the
// caller: read any item at most once. Nothing that the peer writes can make
// this process read or write outside of the queue, panic or fault: the number
// of items is checked whenever it is loaded ([ErrCorrupt]), the memory can not
// be taken away (its seals are checked), and the position is private.
//
// What a peer can do is withhold: items, room or signals. Neither does the
// format say that the other end has gone. Bound waits by deadlines or contexts,
// and watch the socket over which the files were passed.
//
// # Waiting
//
// An end that waits is parked in the runtime's network poller and takes no
// thread, whatever mode the eventfds are in. Programs with an event loop of
// their own use the Try and Raw forms and wait for the signal file to become
// readable: [Receiver.EmptySignal] or [Sender.FullSignal].
package sharedring

import (
	"errors"
	"fmt"
)

// ErrCorrupt is wrapped by the errors of an end whose peer has broken the rules
// of the format. The end then fails for ever; what it receives or has sent
// since is worthless. Close it.
var ErrCorrupt = errors.New("shared queue corrupted by peer")

// ErrItemType is wrapped by the errors of the constructors for item types that
// can not be shared.
var ErrItemType = errors.New("item type can not be shared")

// ErrUnsafe is wrapped by the errors of [OpenSender] and [OpenReceiver] for
// files that are not what they have to be: memory without the seal SHRINK,
// sealed against writing or of another size than the capacity demands, or no
// memory file or eventfd at all.
var ErrUnsafe = errors.New("unsafe shared queue file")

// Status tells what an operation that does not block has left behind.
type Status struct {
	// Remaining is how many items can be sent or received now, without
	// waiting. It is a lower bound by the time it is read.
	Remaining int
	// Signalled reports that the operation has woken the peer: the queue was
	// empty before a send, or full before a receive. That costs a system call.
	Signalled bool
}

// An Option changes how an end is made.
type Option func(*options)

type options struct {
	hugePages bool
	hugeSize  int
	lock      bool
}

// HugePages puts the memory on huge pages of the given size in bytes, a power
// of two; 0 means the system's default size. The pages come from a pool that
// the administrator sets up (/proc/sys/vm/nr_hugepages) and that most systems
// leave empty: then the constructor fails with ENOMEM, and with ENODEV or
// EINVAL if the kernel has no pages of that size. It never falls back to
// ordinary pages. The capacity stays what it is without the option.
//
// [OpenSender] and [OpenReceiver] take memory on huge pages only with this
// option, and then take no other. Use it with trusted peers alone: a peer can
// return a page to the pool and let others use up the pool, after which an
// access to that page is a fatal SIGBUS.
func HugePages(size int) Option {
	return func(o *options) { o.hugePages, o.hugeSize = true, size }
}

// LockMemory allocates the memory at once and keeps it from being swapped out,
// for programs that can not afford a page fault. The constructor fails with
// ENOMEM or EPERM where RLIMIT_MEMLOCK does not allow it. The lock is this
// process's: the peer that wants one as well uses the option, too.
func LockMemory() Option {
	return func(o *options) { o.lock = true }
}

// opError is the form of all errors of this package; a nil err gives nil.
func opError(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("sharedring: %s: %w", op, err)
}
