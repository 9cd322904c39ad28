/* An idmapped mount made by hand, step by step with the kernel's own names: what the helper's answer is held against.
 * Source: mount_setattr(2). */
#ifndef STOCKADE_TRY_IDMAP_H
#define STOCKADE_TRY_IDMAP_H

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* To whom such a mount gives what root has. */
#define IDMAPPED_ROOT 1000000

static inline int try_write(const char *path, const char *text, size_t length)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t done = fd < 0 ? -1 : write(fd, text, length);

	if (fd >= 0)
		(void)close(fd);
	return done == (ssize_t)length ? 0 : -1;
}

/* A user namespace whose root is IDMAPPED_ROOT; -1 where there can be none. */
static inline int try_user_ns(void)
{
	static const char map[] = "0 1000000 1";
	char path[64];
	int ready[2], stay[2], fd = -1;
	pid_t pid;
	char byte;

	if (pipe(ready) < 0 || pipe(stay) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		(void)close(stay[1]);
		if (unshare(CLONE_NEWUSER) == 0 && write(ready[1], "", 1) == 1)
			(void)!read(stay[0], &byte, 1);
		_exit(0);
	}
	(void)close(ready[1]);
	if (pid > 0 && read(ready[0], &byte, 1) == 1) {
		(void)snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)pid);
		if (try_write(path, map, sizeof(map) - 1) == 0) {
			(void)snprintf(path, sizeof(path), "/proc/%d/gid_map", (int)pid);
			if (try_write(path, map, sizeof(map) - 1) == 0) {
				(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
				fd = open(path, O_RDONLY | O_CLOEXEC);
			}
		}
	}
	(void)close(stay[1]);
	(void)close(stay[0]);
	(void)close(ready[0]);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	return fd;
}

/* Whose a directory of root's is in an idmapped mount of it: IDMAPPED_ROOT, or -1 where there can be none. */
static inline long try_idmap(const char *path)
{
	struct stat seen;
	long owner = -1;
	int users = try_user_ns(), tree;

	tree = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (users >= 0 && tree >= 0) {
		struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned int)users};

		if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0 &&
		    fstatat(tree, "", &seen, AT_EMPTY_PATH) == 0)
			owner = (long)seen.st_uid;
	}
	if (users >= 0)
		(void)close(users);
	if (tree >= 0)
		(void)close(tree);
	return owner;
}

#endif
