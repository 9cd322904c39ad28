/* What a service manager hears, and how long its service waits for it. */
#define _GNU_SOURCE
#include "notify.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

/* A manager's socket, by a name that is in no directory. */
static int listen_as(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
	if (bind(fd, (const struct sockaddr *)&address,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))) < 0)
		return -1;
	return fd;
}

/* Reads a message; the descriptor that came with it, or -1. */
static int hear(int fd, char *ret_text, size_t size)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec data = {.iov_base = ret_text, .iov_len = size - 1};
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t bytes = recvmsg(fd, &message, 0);
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int came = -1;

	ret_text[bytes < 0 ? 0 : bytes] = '\0';
	if (header && header->cmsg_type == SCM_RIGHTS)
		memcpy(&came, CMSG_DATA(header), sizeof(came));
	return came;
}

int main(void)
{
	char name[64], text[64];
	int manager, barrier, status;
	siginfo_t ended = {0};
	pid_t service;

	unsetenv("NOTIFY_SOCKET");
	check(notify_ready() == 0, "without a manager nothing is said");

	setenv("NOTIFY_SOCKET", "relative", 1);
	check(notify_ready() < 0 && errno == EINVAL, "what is no socket's name is an error");
	setenv("NOTIFY_SOCKET", "/nowhere/socket", 1);
	check(notify_ready() < 0 && errno == ENOENT, "a manager that is not there is an error");

	(void)snprintf(name, sizeof(name), "@stockade-test-%d", (int)getpid());
	manager = listen_as(name);
	setenv("NOTIFY_SOCKET", name, 1);
	service = fork();
	if (service == 0)
		_exit(notify_ready() == 0 ? 0 : 1);
	check(hear(manager, text, sizeof(text)) < 0 && strcmp(text, "READY=1") == 0,
	      "the manager hears that the service is ready");
	barrier = hear(manager, text, sizeof(text));
	check(barrier >= 0 && strcmp(text, "BARRIER=1") == 0,
	      "and what it is to close when it has come so far");
	check(waitid(P_PID, (id_t)service, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == 0,
	      "until then the service waits");
	(void)close(barrier);
	check(waitpid(service, &status, 0) == service && status == 0, "and then it goes on");
	(void)close(manager);
	return tap_end();
}
