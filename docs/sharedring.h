/*
 * sharedring.h: an end of a shared queue, in C11 for Linux with GCC or Clang.
 *
 * The format is described in SHAREDRING.md. Use it as it is or read it as an
 * example. All functions return 0, or a negative errno value:
 *
 *   -EPROTO   the peer has broken the rules; the queue is worthless, close it
 *   -EINVAL   an argument, or a file that is not what it has to be
 *   -EAGAIN   nothing can be moved now (the try functions)
 *   others    from the system call that failed
 *
 * An end is used by one thread at a time, and the process of an end has one of
 * the two. The three descriptors belong to the end and are closed with it. The
 * peer may write to the memory at any time: look at items only after they have
 * been copied out, or read each at most once.
 *
 * It may be copied into other programs under the project's licences:
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef SHAREDRING_H
#define SHAREDRING_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* memfd_create, F_ADD_SEALS */
#endif

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SHAREDRING_HEADER = 64 };

struct sharedring {
	int memfd, empty_signal, full_signal; /* to be passed to the peer */
	size_t item;			      /* bytes of one item */
	size_t length;			      /* items that fit */
	size_t index;			      /* of this end, private */
	size_t bytes;			      /* mapped */
	unsigned char *memory;
};

/* The size of the memory file, or 0 for what can not be. */
static inline size_t sharedring_size(size_t capacity, size_t item)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t limit = (size_t)PTRDIFF_MAX - SHAREDRING_HEADER - page;
	if (capacity == 0 || item == 0 || capacity > limit / item)
		return 0;
	return (SHAREDRING_HEADER + capacity * item + page - 1) / page * page;
}

static inline _Atomic(size_t) *sharedring_word(struct sharedring *r)
{
	return (_Atomic(size_t) *)(void *)r->memory;
}

static inline int sharedring_count(struct sharedring *r, size_t *count)
{
	*count = atomic_load(sharedring_word(r));
	return *count > r->length ? -EPROTO : 0;
}

static inline void sharedring_close(struct sharedring *r)
{
	if (r->memory)
		munmap(r->memory, r->bytes);
	if (r->memfd >= 0)
		close(r->memfd);
	if (r->empty_signal >= 0)
		close(r->empty_signal);
	if (r->full_signal >= 0)
		close(r->full_signal);
	memset(r, 0, sizeof *r);
	r->memfd = r->empty_signal = r->full_signal = -1;
}

/*
 * Attaches to a queue that the peer has made. The descriptors are the end's
 * from here on, also after an error. Whether the signals are eventfds is not
 * checked: it takes /proc, or trust.
 */
static inline int sharedring_open(struct sharedring *r, size_t capacity, size_t item,
				  int memfd, int empty_signal, int full_signal)
{
	struct stat st;
	size_t count;
	void *memory;
	int seals, err;

	memset(r, 0, sizeof *r);
	r->memfd = memfd;
	r->empty_signal = empty_signal;
	r->full_signal = full_signal;
	r->item = item;
	r->bytes = sharedring_size(capacity, item);
	/* Seals come first: asking for them can not block, and once SHRINK is
	 * there the size stays true. */
	seals = fcntl(memfd, F_GET_SEALS);
	err = -EINVAL;
	if (r->bytes == 0 || seals < 0 || !(seals & F_SEAL_SHRINK))
		goto fail;
	if (fstat(memfd, &st) < 0 || (uint64_t)st.st_size != r->bytes)
		goto fail;
	memory = mmap(NULL, r->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (memory == MAP_FAILED) {
		err = -errno;
		goto fail;
	}
	r->memory = memory;
	r->length = (r->bytes - SHAREDRING_HEADER) / item;
	err = sharedring_count(r, &count);
	if (err == 0)
		return 0;
fail:
	sharedring_close(r);
	return err;
}

/* Makes a queue and attaches to it. */
static inline int sharedring_new(struct sharedring *r, size_t capacity, size_t item)
{
	size_t bytes = sharedring_size(capacity, item);
	int memfd = -1, empty = -1, full = -1, err = -EINVAL;

	memset(r, 0, sizeof *r);
	r->memfd = r->empty_signal = r->full_signal = -1;
	if (bytes == 0)
		return err;
	memfd = memfd_create("sharedring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	empty = eventfd(0, EFD_CLOEXEC);
	full = eventfd(0, EFD_CLOEXEC);
	if (memfd < 0 || empty < 0 || full < 0 || ftruncate(memfd, (off_t)bytes) < 0 ||
	    fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK) < 0) {
		err = -errno;
		if (memfd >= 0)
			close(memfd);
		if (empty >= 0)
			close(empty);
		if (full >= 0)
			close(full);
		return err;
	}
	return sharedring_open(r, capacity, item, memfd, empty, full);
}

static inline int sharedring_signal(int fd)
{
	const uint64_t one = 1;
	ssize_t n;
	do
		n = write(fd, &one, sizeof one);
	while (n < 0 && errno == EINTR);
	/* EAGAIN: the counter is full, so the peer is signalled already. */
	return n < 0 && errno != EAGAIN ? -errno : 0;
}

/* Sleeps until fd has been signalled, whatever mode it is in. */
static inline int sharedring_sleep(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t count;
	if (poll(&p, 1, -1) < 0)
		return errno == EINTR ? 0 : -errno;
	if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN && errno != EINTR)
		return -errno;
	return 0;
}

/*
 * The contiguous piece that can be written now. Write items there, from its
 * start, then call sharedring_send_commit with how many and the same *space.
 * *n is 0 when the queue is full.
 */
static inline int sharedring_send_begin(struct sharedring *r, void **items, size_t *n, size_t *space)
{
	size_t count;
	int err = sharedring_count(r, &count);
	if (err)
		return err;
	*space = r->length - count;
	*n = *space < r->length - r->index ? *space : r->length - r->index;
	*items = r->memory + SHAREDRING_HEADER + r->index * r->item;
	return 0;
}

static inline int sharedring_send_commit(struct sharedring *r, size_t n, size_t space)
{
	size_t before;
	if (n > space || n > r->length - r->index)
		return -EINVAL;
	if (n == 0)
		return 0;
	before = atomic_fetch_add(sharedring_word(r), n);
	if (before > r->length - space)
		return -EPROTO;
	r->index = (r->index + n) % r->length;
	return before == 0 ? sharedring_signal(r->empty_signal) : 0;
}

/* The contiguous piece that can be read now; see sharedring_send_begin. */
static inline int sharedring_receive_begin(struct sharedring *r, const void **items, size_t *n, size_t *found)
{
	int err = sharedring_count(r, found);
	if (err)
		return err;
	*n = *found < r->length - r->index ? *found : r->length - r->index;
	*items = r->memory + SHAREDRING_HEADER + r->index * r->item;
	return 0;
}

static inline int sharedring_receive_commit(struct sharedring *r, size_t n, size_t found)
{
	size_t before;
	if (n > found || n > r->length - r->index)
		return -EINVAL;
	if (n == 0)
		return 0;
	before = atomic_fetch_sub(sharedring_word(r), n);
	if (before < found || before > r->length)
		return -EPROTO;
	r->index = (r->index + n) % r->length;
	return before == r->length ? sharedring_signal(r->full_signal) : 0;
}

/* Sends up to n items and sets *sent. -EAGAIN if the queue is full. */
static inline int sharedring_try_send(struct sharedring *r, const void *items, size_t n, size_t *sent)
{
	void *to;
	size_t room, space;
	int err = sharedring_send_begin(r, &to, &room, &space);
	*sent = 0;
	if (err)
		return err;
	if (room == 0)
		return -EAGAIN;
	if (n > room)
		n = room;
	memcpy(to, items, n * r->item);
	err = sharedring_send_commit(r, n, space);
	if (err == 0)
		*sent = n;
	return err;
}

/* Receives up to n items and sets *received. -EAGAIN if the queue is empty. */
static inline int sharedring_try_receive(struct sharedring *r, void *items, size_t n, size_t *received)
{
	const void *from;
	size_t there, found;
	int err = sharedring_receive_begin(r, &from, &there, &found);
	*received = 0;
	if (err)
		return err;
	if (there == 0)
		return -EAGAIN;
	if (n > there)
		n = there;
	memcpy(items, from, n * r->item);
	err = sharedring_receive_commit(r, n, found);
	if (err == 0)
		*received = n;
	return err;
}

/* Sends all n items, and waits for room. */
static inline int sharedring_send(struct sharedring *r, const void *items, size_t n)
{
	const unsigned char *p = items;
	while (n > 0) {
		size_t sent;
		int err = sharedring_try_send(r, p, n, &sent);
		if (err == -EAGAIN)
			err = sharedring_sleep(r->full_signal);
		if (err)
			return err;
		p += sent * r->item;
		n -= sent;
	}
	return 0;
}

/* Receives 1 to n items, and waits for the first. */
static inline int sharedring_receive(struct sharedring *r, void *items, size_t n, size_t *received)
{
	for (;;) {
		int err = sharedring_try_receive(r, items, n, received);
		if (err == -EAGAIN)
			err = sharedring_sleep(r->empty_signal);
		else
			return err;
		if (err)
			return err;
	}
}

#endif
