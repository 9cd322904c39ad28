/*
 * Runs a program again and again and prints the nanoseconds from fork to its end, one a line:
 *
 *   spawn <count> <program> [argument…]
 *
 * A run that ends otherwise than by exit 0 is the last.
 */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "../native/sys.h"

extern char **environ;

int main(int argc, char **argv)
{
	long count;

	if (argc < 3) {
		(void)fprintf(stderr, "usage: spawn <count> <program> [argument...]\n");
		return 2;
	}
	count = strtol(argv[1], NULL, 10);
	for (long i = 0; i < count; i++) {
		uint64_t start = now_ns(CLOCK_MONOTONIC);
		int status, error;
		pid_t pid;

		error = posix_spawnp(&pid, argv[2], NULL, NULL, argv + 2, environ);
		if (error != 0) {
			(void)fprintf(stderr, "%s: %s\n", argv[2], strerror(error));
			return 1;
		}
		if (waitpid(pid, &status, 0) < 0 || status != 0)
			return 1;
		(void)printf("%llu\n", (unsigned long long)(now_ns(CLOCK_MONOTONIC) - start));
	}
	return 0;
}
