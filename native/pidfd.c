#define _GNU_SOURCE
#include "pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proc.h"
#include "sys.h"

/* The pid that a pidfd stands for; -1 with errno. */
static pid_t pid_of(int pidfd)
{
	static const char label[] = "Pid:\t";
	char path[64], text[1024];
	const char *found;
	long pid;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	if (read_text(AT_FDCWD, path, text, sizeof(text)) < 0)
		return -1;
	found = strstr(text, label);
	pid = found ? strtol(found + strlen(label), NULL, 10) : -1;
	errno = ESRCH; /* -1 is what the kernel says of one that has been reaped */
	return pid > 0 ? (pid_t)pid : -1;
}

static int read_start_ticks(pid_t pid, uint64_t *ret_ticks)
{
	enum { STARTTIME_FIELD = 22 };
	char path[64], text[1024];
	const char *found;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (read_text(AT_FDCWD, path, text, sizeof(text)) < 0)
		return -1;
	found = stat_field(text, STARTTIME_FIELD);
	errno = EBADMSG;
	if (!found)
		return -1;
	*ret_ticks = strtoull(found, NULL, 10);
	return 0;
}

/* -1 with errno; ESRCH: all its threads have ended. That of the first is no sign of it, though stat says 'Z' then. */
static int check_alive(int pidfd)
{
	struct pollfd source = {.fd = pidfd, .events = POLLIN};
	int count = poll(&source, 1, 0);

	if (count == 0)
		return 0;
	if (count > 0)
		errno = ESRCH;
	return -1;
}

/*
 * What is read by a pid is the pidfd's process's if that lives afterwards: until then the pid has been no other's.
 * If it does not, nothing that was read counts, nor why it could not be.
 */
static int start_ticks_of(int pidfd, pid_t pid, uint64_t *ret_ticks)
{
	uint64_t ticks;
	int result = read_start_ticks(pid, &ticks);
	int error = errno;

	if (check_alive(pidfd) < 0)
		return -1;
	errno = error;
	if (result == 0)
		*ret_ticks = ticks;
	return result;
}

int identify_process(int pidfd, struct process_id *ret_id)
{
	struct process_id id = {.pid = pid_of(pidfd)};

	if (id.pid < 0 || start_ticks_of(pidfd, id.pid, &id.start_ticks) < 0)
		return -1;
	*ret_id = id;
	return 0;
}

int open_process(const struct process_id *id)
{
	int pidfd = sys_pidfd_open(id->pid);
	uint64_t ticks = 0;
	int result;

	if (pidfd < 0) {
		/* The number is a thread's of another process. */
		if (errno == EINVAL || errno == ENOENT)
			errno = ESRCH;
		return -1;
	}
	result = start_ticks_of(pidfd, id->pid, &ticks);
	if (result == 0 && ticks == id->start_ticks)
		return pidfd;
	if (result == 0)
		errno = ESRCH;
	close_fd(&pidfd);
	return -1;
}
