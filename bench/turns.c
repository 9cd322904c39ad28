/*
 * Preloaded into Node: the turns of its event loop, in CPU time of the main thread. A turn is
 * what lies between the return of one epoll_pwait and the call of the next. Those that used at
 * least LEAST_NS are written to the file named by STOCKADE_BENCH_TURNS, one a line:
 *
 *   <begin> <end> <cpu>      nanoseconds, the first two of CLOCK_MONOTONIC
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define LEAST_NS 100000

typedef int epoll_pwait_function(int, struct epoll_event *, int, int, const sigset_t *);

static epoll_pwait_function *next_epoll_pwait;
static int file = -1;
static uint64_t begin_ns, begin_cpu_ns;

static uint64_t read_ns(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void end_turn(void)
{
	uint64_t cpu_ns = read_ns(CLOCK_THREAD_CPUTIME_ID) - begin_cpu_ns;
	uint64_t end_ns = read_ns(CLOCK_MONOTONIC);

	if (begin_ns != 0 && cpu_ns >= LEAST_NS)
		(void)dprintf(file, "%llu %llu %llu\n", (unsigned long long)begin_ns,
			      (unsigned long long)end_ns, (unsigned long long)cpu_ns);
}

__attribute__((constructor)) static void prepare(void)
{
	const char *path = getenv("STOCKADE_BENCH_TURNS");

	*(void **)&next_epoll_pwait = dlsym(RTLD_NEXT, "epoll_pwait");
	if (path)
		file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

int epoll_pwait(int epoll, struct epoll_event *events, int count, int timeout, const sigset_t *mask)
{
	int result;

	if (file < 0 || gettid() != getpid())
		return next_epoll_pwait(epoll, events, count, timeout, mask);
	end_turn();
	result = next_epoll_pwait(epoll, events, count, timeout, mask);
	begin_ns = read_ns(CLOCK_MONOTONIC);
	begin_cpu_ns = read_ns(CLOCK_THREAD_CPUTIME_ID);
	return result;
}
