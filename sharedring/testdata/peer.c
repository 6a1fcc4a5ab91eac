/*
 * peer ROLE CAPACITY TOTAL [ITEM [PROGRAM]]: one end of a queue, for the tests.
 * Sends or receives TOTAL items of ITEM bytes (8) that the other end can compute,
 * and fails on the first that is wrong. The queue is in descriptors 3, 4 and 5;
 * or peer makes one itself and has PROGRAM be the other end, with like arguments.
 */
#include "../../docs/sharedring.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

/* Item i is made of the words (i + k * 2^40) * C, cut off at its size. */
static void fill(unsigned char *p, uint64_t i, size_t item)
{
	for (uint64_t k = 0; item > 0; k++) {
		uint64_t word = (i + (k << 40)) * UINT64_C(0x9e3779b97f4a7c15);
		size_t n = item < 8 ? item : 8;
		memcpy(p, &word, n);
		p += n;
		item -= n;
	}
}

static void check(int err, const char *what)
{
	if (err) {
		printf("%s: %s\n", what, strerror(-err));
		exit(1);
	}
}

/* Starts the other end, on descriptors 3, 4 and 5, and returns its process. */
static pid_t start(struct sharedring *r, char **argv)
{
	char *role = argv[1][0] == 's' ? "receive" : "send";
	char *args[] = {argv[5], role, argv[2], argv[3], argv[4], NULL};
	pid_t pid = fork();
	if (pid == 0) {
		/* First out of the way of each other; dup2 clears close-on-exec. */
		int fds[] = {r->memfd, r->empty_signal, r->full_signal};
		for (int i = 0; i < 3; i++)
			fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 10);
		for (int i = 0; i < 3; i++)
			dup2(fds[i], 3 + i);
		execv(args[0], args);
		_exit(127);
	}
	return pid;
}

int main(int argc, char **argv)
{
	enum { BATCH = 500 };
	struct sharedring r;
	if (argc < 4)
		return 2;
	size_t capacity = strtoull(argv[2], NULL, 10), item = argc > 4 ? strtoull(argv[4], NULL, 10) : 8;
	uint64_t total = strtoull(argv[3], NULL, 10);
	unsigned char *buf = malloc(BATCH * item), *want = malloc(item);
	if (!buf || !want)
		return 2;
	pid_t other = -1;
	if (argc > 5) {
		check(sharedring_new(&r, capacity, item), "new");
		other = start(&r, argv);
	} else {
		check(sharedring_open(&r, capacity, item, 3, 4, 5), "open");
	}
	for (uint64_t i = 0; i < total;) {
		size_t n = total - i < BATCH ? total - i : BATCH;
		if (argv[1][0] == 's') {
			for (size_t j = 0; j < n; j++)
				fill(buf + j * item, i + j, item);
			check(sharedring_send(&r, buf, n), "send");
		} else {
			check(sharedring_receive(&r, buf, n, &n), "receive");
			for (size_t j = 0; j < n; j++) {
				fill(want, i + j, item);
				if (memcmp(want, buf + j * item, item) != 0) {
					printf("item %llu is wrong\n", (unsigned long long)(i + j));
					return 1;
				}
			}
		}
		i += n;
	}
	sharedring_close(&r);
	free(buf);
	free(want);
	int status = 0;
	if (other > 0 && (waitpid(other, &status, 0) != other || status != 0)) {
		printf("the other end failed with status %#x\n", (unsigned)status);
		return 1;
	}
	printf("verified %llu\n", (unsigned long long)total);
	return 0;
}
