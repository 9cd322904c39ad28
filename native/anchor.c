#define _GNU_SOURCE
#include "anchor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "notify.h"
#include "proc.h"
#include "sys.h"

/* No task's cgroup is called that: theirs are UUIDs. */
#define LEAF "anchor"

/* Where systemd mounts the hierarchy of cgroup v2: beside those of v1, or alone. NULL: it has not. */
static const char *unified_mount(void)
{
	static const char *const mounts[] = {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"};
	struct statfs found;

	for (size_t i = 0; i < sizeof(mounts) / sizeof(*mounts); i++) {
		if (statfs(mounts[i], &found) == 0 && found.f_type == CGROUP2_SUPER_MAGIC)
			return mounts[i];
	}
	return NULL;
}

/* Where this process is in it: the line of the hierarchy that has number 0 and no controllers. */
static int own_cgroup(char *ret_path, size_t size)
{
	char text[8192], *at;

	if (read_text(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text)) < 0)
		return -1;
	for (char *line = strtok_r(text, "\n", &at); line; line = strtok_r(NULL, "\n", &at)) {
		if (strncmp(line, "0::", 3) == 0)
			return snprintf(ret_path, size, "%s", line + 3) < (int)size ? 0 : -1;
	}
	errno = ENOENT;
	return -1;
}

/* A cgroup of v2 that has processes hands no controllers down: so they are in a leaf of it. v1 is content as it is. */
static int enter_leaf(void)
{
	const char *mount = unified_mount();
	char own[4096], leaf[8192], procs[8300];
	int fd, done;

	if (!mount)
		return 0;
	if (own_cgroup(own, sizeof(own)) < 0)
		return -1;
	(void)snprintf(leaf, sizeof(leaf), "%s%s/" LEAF, mount, own);
	(void)snprintf(procs, sizeof(procs), "%s/cgroup.procs", leaf);
	if (mkdir(leaf, 0755) < 0 && errno != EEXIST)
		return -1;
	fd = open(procs, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	done = write_all(fd, "0", 1);
	close_fd(&fd);
	return done;
}

int run_anchor(void)
{
	if (enter_leaf() < 0) {
		perror("stockade-helper: cannot enter a leaf of the cgroup");
		return EXIT_FAILURE;
	}
	if (notify_ready() < 0) {
		perror("stockade-helper: cannot notify the service manager");
		return EXIT_FAILURE;
	}
	for (;;)
		(void)pause();
}
