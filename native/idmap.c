#define _GNU_SOURCE
#include "idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys.h"

/* Any that are not the same would do: nothing is ever done by them. */
#define MAP "0 1000000 1"

static int write_map(pid_t pid, const char *name)
{
	char path[64];
	int fd, done;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	done = write_all(fd, MAP, strlen(MAP));
	close_fd(&fd);
	return done;
}

static int open_user_ns(pid_t pid)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* A user namespace that maps a user; a process holds it only for as long as it takes to open it. */
static int make_user_ns(void)
{
	int fd = -1, pidfd = -1, error;
	pid_t parent = getpid(), pid = sys_clone(CLONE_NEWUSER, &pidfd, -1);

	if (pid < 0)
		return -1;
	if (pid == 0) {
		/* Whose parent has gone before that is not killed by its going. */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
			_exit(EXIT_FAILURE);
		for (;;)
			(void)pause();
	}
	if (write_map(pid, "uid_map") == 0 && write_map(pid, "gid_map") == 0)
		fd = open_user_ns(pid);
	error = errno;
	(void)sys_pidfd_send_signal(pidfd, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	close_fd(&pidfd);
	errno = error;
	return fd;
}

bool can_idmap(int dir)
{
	int users = make_user_ns(), tree = -1;
	bool can = false;

	if (users >= 0)
		tree = sys_open_tree(dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (tree >= 0) {
		struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned int)users};

		can = sys_mount_setattr(tree, 0, &attr) == 0;
	}
	close_fd(&tree);
	close_fd(&users);
	return can;
}
