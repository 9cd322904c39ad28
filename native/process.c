#define _GNU_SOURCE
#include "process.h"

#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys.h"

static char *arguments;
static size_t arguments_size;

void remember_arguments(int argc, char **argv)
{
	/* The kernel lays them out one after the other. */
	arguments = argv[0];
	arguments_size = (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) - argv[0]);
}

void rename_process(const char *name)
{
	memset(arguments, 0, arguments_size);
	strncpy(arguments, name, arguments_size);
	(void)prctl(PR_SET_NAME, name, 0, 0, 0);
}

int close_all_but(int *fds, size_t count)
{
	unsigned int next = 0;

	for (size_t i = 1; i < count; i++) { /* insertion sort: a handful */
		int fd = fds[i];
		size_t k = i;

		for (; k > 0 && fds[k - 1] > fd; k--)
			fds[k] = fds[k - 1];
		fds[k] = fd;
	}
	for (size_t i = 0; i < count; i++) {
		if (fds[i] < 0)
			continue;
		if ((unsigned int)fds[i] > next && sys_close_range(next, (unsigned int)fds[i] - 1) < 0)
			return -1;
		next = (unsigned int)fds[i] + 1;
	}
	return sys_close_range(next, UINT_MAX);
}

/* Raw calls: glibc keeps the first two real-time signals to itself, and would leave them as inherited. */
int reset_signals(void)
{
	enum { SIGNALS = 64, SET_SIZE = SIGNALS / 8 };
	static const uint64_t none;
	static const struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		uint64_t mask;
	} by_default;

	for (int number = 1; number <= SIGNALS; number++) {
		if (number == SIGKILL || number == SIGSTOP)
			continue; /* they have no other */
		if (syscall(SYS_rt_sigaction, number, &by_default, NULL, SET_SIZE) < 0)
			return -1;
	}
	return (int)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, SET_SIZE);
}

/* Lowers a soft limit; the hard one, to which the task may raise it again, stays as inherited. */
static int lower_limit(int resource, rlim_t soft)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		return -1;
	if (limit.rlim_cur > soft)
		limit.rlim_cur = soft;
	return setrlimit(resource, &limit);
}

int reset_attributes(void)
{
	/* The daemon's runtime has raised its own to the hard limit; programs that use select(2) rely on this. */
	enum { DESCRIPTORS = 1024 };

	(void)umask(022);
	if (reset_signals() < 0 || setsid() < 0 || lower_limit(RLIMIT_CORE, 0) < 0 ||
	    lower_limit(RLIMIT_NOFILE, DESCRIPTORS) < 0)
		return -1;
	return 0;
}
