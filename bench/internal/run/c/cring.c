// What the machine can do when nobody ever sleeps: messages between two
// processes over a pair of byte rings that both ends spin on.
//
//	cring pingpong SIZE MILLISECONDS    round trips
//	cring stream SIZE MILLISECONDS      messages one way
//
// Prints how many there were and the nanoseconds that they took; exits 1 when
// a message is not the one that was sent: its ends are compared in each, all of
// it in one of 64.
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Capacity, and the piece after which the other end may begin to copy, are
// those of shmconn.
enum { CAPACITY = 4 << 20, PIECE = 16 << 10, WINDOW = 1 << 20 };

// One direction. Head and tail have cache lines of their own, two each,
// because the prefetcher fetches pairs.
struct ring {
	_Alignas(128) _Atomic uint64_t tail;
	_Alignas(128) _Atomic uint64_t head;
	_Alignas(4096) unsigned char data[CAPACITY];
};

// How much of the memory is in use: what is written again soon after it was
// read costs less in round trips, and more in streams.
static uint64_t window;

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static void put(struct ring *r, const unsigned char *message, size_t size)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	while (size > 0) {
		size_t n = least(least(size, PIECE), window - tail % window);
		while (tail + n - atomic_load_explicit(&r->head, memory_order_acquire) > window)
			;
		memcpy(r->data + tail % window, message, n);
		tail += n;
		atomic_store_explicit(&r->tail, tail, memory_order_release);
		message += n;
		size -= n;
	}
}

static void take(struct ring *r, unsigned char *message, size_t size)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	while (size > 0) {
		uint64_t ready;
		while ((ready = atomic_load_explicit(&r->tail, memory_order_acquire) - head) == 0)
			;
		size_t n = least(least(size, ready), window - head % window);
		memcpy(message, r->data + head % window, n);
		head += n;
		atomic_store_explicit(&r->head, head, memory_order_release);
		message += n;
		size -= n;
	}
}

// A message is a pattern with its number at both ends.
static void stamp(unsigned char *message, size_t size, uint64_t number)
{
	memcpy(message, &number, sizeof number);
	memcpy(message + size - sizeof number, &number, sizeof number);
}

static void check(const unsigned char *message, const unsigned char *want, size_t size, uint64_t number)
{
	uint64_t first, last;
	memcpy(&first, message, sizeof first);
	memcpy(&last, message + size - sizeof last, sizeof last);
	size_t middle = size - 2 * sizeof number;
	if (first != number || last != number ||
	    (number % 64 == 0 && memcmp(message + sizeof number, want + sizeof number, middle) != 0)) {
		fprintf(stderr, "message %llu has changed on its way\n", (unsigned long long)number);
		exit(1);
	}
}

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

int main(int argc, char **argv)
{
	int echo = argc == 4 && strcmp(argv[1], "pingpong") == 0;
	if (!echo && !(argc == 4 && strcmp(argv[1], "stream") == 0)) {
		fprintf(stderr, "usage: cring pingpong|stream SIZE MILLISECONDS\n");
		return 2;
	}
	size_t size = strtoul(argv[2], NULL, 10);
	int64_t duration = atoll(argv[3]) * INT64_C(1000000);
	if (size < 2 * sizeof(uint64_t)) {
		fprintf(stderr, "a message has at least %zu bytes\n", 2 * sizeof(uint64_t));
		return 2;
	}
	window = echo ? WINDOW : CAPACITY;

	struct ring *rings = mmap(NULL, 2 * sizeof *rings, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	// The word by which the parent says how many messages there are in all.
	_Atomic uint64_t *total = mmap(NULL, sizeof *total, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned char *message = malloc(size), *want = malloc(size);
	if (rings == MAP_FAILED || total == MAP_FAILED || message == NULL || want == NULL) {
		perror("memory");
		return 1;
	}
	for (size_t i = 0; i < size; i++)
		message[i] = want[i] = i * 167 >> 3;
	atomic_store(total, UINT64_MAX);

	pid_t child = fork();
	if (child < 0) {
		perror("fork");
		return 1;
	}
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (uint64_t i = 0; i < atomic_load_explicit(total, memory_order_relaxed); i++) {
			take(&rings[0], message, size);
			check(message, want, size, i);
			if (echo)
				put(&rings[1], message, size);
		}
		return 0;
	}
	// The first are not counted: the child is not running yet.
	uint64_t uncounted = echo ? 100 : 1 + 2 * CAPACITY / size, n = 0;
	int64_t start = 0, end = 0;
	for (uint64_t i = 0;; i++) {
		if (i == uncounted)
			start = now();
		// Looking at the clock more often would cost as much as a message.
		if (i > uncounted && (size >= PIECE || i % 256 == 0) && now() - start >= duration)
			atomic_store(total, i + 1);
		stamp(message, size, i);
		put(&rings[0], message, size);
		if (echo) {
			take(&rings[1], message, size);
			check(message, want, size, i);
		}
		n += i >= uncounted;
		if (i + 1 == atomic_load_explicit(total, memory_order_relaxed))
			break;
	}
	int status;
	if (waitpid(child, &status, 0) < 0 || status != 0)
		return 1;
	end = now(); // when the last message has arrived
	printf("%llu %lld\n", (unsigned long long)n, (long long)(end - start));
	return 0;
}
