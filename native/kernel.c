#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

pid_t kernel_clone(uint64_t flags, int cgroup, int *ret_pidfd)
{
	int pidfd = -1;
	struct clone_args args = {
		.flags = flags | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	if (cgroup >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup;
	}
	long pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid > 0)
		*ret_pidfd = pidfd;
	return (pid_t)pid;
}

static int open_how(int dir, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC),
		.mode = mode,
		.resolve = resolve | RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;
	/* EAGAIN: something was renamed while the path was walked, and ".." may have been passed. */
	int tries = 16;
	do
		fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR) && --tries > 0);
	return (int)fd;
}

int kernel_open_beneath(int dir, const char *path, int flags, mode_t mode)
{
	return open_how(dir, path, flags, mode, 0);
}

int kernel_open_on_mount(int dir, const char *path, int flags)
{
	return open_how(dir, path, flags, 0, RESOLVE_NO_XDEV);
}

int kernel_pivot_root(const char *new_root, const char *put_old)
{
	return (int)syscall(SYS_pivot_root, new_root, put_old);
}

int kernel_close_others(int first, int *keep, size_t keep_count)
{
	for (size_t i = 1; i < keep_count; i++) {
		int fd = keep[i];
		size_t at = i;
		for (; at > 0 && keep[at - 1] > fd; at--)
			keep[at] = keep[at - 1];
		keep[at] = fd;
	}
	int next = first;
	for (size_t i = 0; i < keep_count; i++) {
		if (keep[i] < next)
			continue;
		if (keep[i] > next && close_range((unsigned int)next, (unsigned int)keep[i] - 1, 0) < 0)
			return -1;
		next = keep[i] + 1;
	}
	return close_range((unsigned int)next, ~0u, 0);
}

void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

uint64_t clock_ns(int clock)
{
	struct timespec now = {0};
	(void)clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void format_u64(uint64_t value, char ret_text[32])
{
	char reversed[32];
	size_t size = 0;
	do
		reversed[size++] = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	for (size_t i = 0; i < size; i++)
		ret_text[i] = reversed[size - 1 - i];
	ret_text[size] = '\0';
}
