#define _GNU_SOURCE
#include "notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sys.h"

/* How long a busy manager may take to read what it was sent. */
enum { BARRIER_MS = 60000 };

/* A socket that is connected to the one that `name` is of: a path, or "@" and a name that is in no directory. */
static int connect_to(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t size = strlen(name);
	int fd;

	errno = EINVAL;
	if (size < 2 || size >= sizeof(address.sun_path) || (name[0] != '/' && name[0] != '@'))
		return -1;
	memcpy(address.sun_path, name, size);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address,
			       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)) < 0)
		close_fd(&fd);
	return fd;
}

/* Sends a text, and a descriptor if it is not -1. */
static int send_text(int to, const char *text, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec data = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};

	if (fd >= 0) {
		struct cmsghdr *header;

		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	}
	return sendmsg(to, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/*
 * The manager closes the pipe's end when it has come to it, and so has read what was sent before. Until then the
 * sender has to be there: whose word it is, is found by the sender's cgroup.
 */
static int await_taken(int to)
{
	int ends[2], seen;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	seen = send_text(to, "BARRIER=1", ends[1]);
	close_fd(&ends[1]);
	if (seen == 0) {
		struct pollfd closed = {.fd = ends[0]};

		do {
			seen = poll(&closed, 1, BARRIER_MS);
		} while (seen < 0 && errno == EINTR);
		if (seen == 0)
			errno = ETIMEDOUT;
		seen = seen > 0 ? 0 : -1;
	}
	close_fd(&ends[0]);
	return seen;
}

int notify_ready(void)
{
	const char *name = getenv("NOTIFY_SOCKET");
	int fd, done;

	if (!name)
		return 0;
	fd = connect_to(name);
	if (fd < 0)
		return -1;
	done = send_text(fd, "READY=1", -1);
	if (done == 0)
		done = await_taken(fd);
	close_fd(&fd);
	return done;
}
