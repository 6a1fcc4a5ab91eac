// Round trips of 64 bytes between two processes over a pair of rings that
// both ends spin on. Usage: cring MILLISECONDS. Prints the number of round
// trips and the nanoseconds that they took; exits 1 when a message is not the
// one that was sent.
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 64, SLOTS = 64 };

// One direction. Head and tail have cache lines of their own, two each,
// because the prefetcher fetches pairs.
struct ring {
	_Alignas(128) _Atomic uint64_t tail;
	_Alignas(128) _Atomic uint64_t head;
	_Alignas(128) unsigned char slots[SLOTS][SIZE];
};

static void put(struct ring *r, const unsigned char *message)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	while (tail - atomic_load_explicit(&r->head, memory_order_acquire) == SLOTS)
		;
	memcpy(r->slots[tail % SLOTS], message, SIZE);
	atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
}

static void take(struct ring *r, unsigned char *message)
{
	uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	while (atomic_load_explicit(&r->tail, memory_order_acquire) == head)
		;
	memcpy(message, r->slots[head % SLOTS], SIZE);
	atomic_store_explicit(&r->head, head + 1, memory_order_release);
}

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

int main(int argc, char **argv)
{
	int64_t want = (argc > 1 ? atoll(argv[1]) : 100) * INT64_C(1000000);
	struct ring *rings = mmap(NULL, 2 * sizeof *rings, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (rings == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	unsigned char message[SIZE], answer[SIZE];
	pid_t child = fork();
	if (child < 0) {
		perror("fork");
		return 1;
	}
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		do {
			take(&rings[0], message);
			put(&rings[1], message);
		} while (message[SIZE - 1] == 0);
		return 0;
	}
	uint64_t n = 0;
	int64_t start = 0, end = 0;
	memset(message, 0, SIZE);
	// The first thousand are not counted: the child is not running yet.
	for (uint64_t i = 0;; i++) {
		int last = 0;
		if (i % 256 == 0) {
			end = now();
			if (i >= 1024 && start == 0)
				start = end;
			last = start != 0 && end - start >= want;
		}
		memcpy(message, &i, sizeof i);
		message[SIZE - 1] = last;
		put(&rings[0], message);
		take(&rings[1], answer);
		if (memcmp(message, answer, SIZE) != 0) {
			fprintf(stderr, "message %llu came back changed\n", (unsigned long long)i);
			kill(child, SIGKILL);
			return 1;
		}
		if (last)
			break;
		n += start != 0;
	}
	waitpid(child, NULL, 0);
	printf("%llu %lld\n", (unsigned long long)n, (long long)(end - start));
	return 0;
}
