#define _GNU_SOURCE
#include "cgroups.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proc.h"
#include "sys.h"

enum { PATH_SIZE = 4096, PROC_CGROUP_SIZE = 16384 };

int open_cgroups(const struct spec *spec, struct cgroup_fds *ret_fds, struct fault *reterr)
{
	struct cgroup_fds fds = {.v2 = -1, .cpu_time = -1};
	uint32_t index = 0;

	if (spec->cgroup_v2[0] != '\0') {
		fds.v2 = open(spec->cgroup_v2, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fds.v2 < 0)
			goto failed;
	}
	if (spec->cgroup_v1_count > CGROUPS_MAX) {
		errno = E2BIG;
		goto failed;
	}
	for (index = 0; index < spec->cgroup_v1_count; index++) {
		char path[PATH_SIZE];
		int length = snprintf(path, sizeof(path), "%s/tasks", spec->cgroup_v1[index]);

		if (length < 0 || (size_t)length >= sizeof(path)) {
			errno = ENAMETOOLONG;
			goto failed;
		}
		fds.v1[index] = open(path, O_WRONLY | O_CLOEXEC);
		if (fds.v1[index] < 0)
			goto failed;
		fds.v1_count++;
	}
	if (spec->cpu_time_ns > 0) {
		fds.cpu_time = open(spec->cpu_time_file, O_RDONLY | O_CLOEXEC);
		if (fds.cpu_time < 0)
			goto failed;
	}
	*ret_fds = fds;
	return 0;
failed:
	(void)fail_at(reterr, STEP_OPEN_CGROUPS, index);
	close_cgroups(&fds);
	return -1;
}

void close_cgroups(struct cgroup_fds *fds)
{
	close_fd(&fds->v2);
	for (size_t i = 0; i < fds->v1_count; i++)
		close_fd(&fds->v1[i]);
	fds->v1_count = 0;
	close_fd(&fds->cpu_time);
}

/*
 * By "tasks", which moves the calling thread, the only one there is. By "cgroup.procs" Linux would stop all
 * forks and exits of the host first, and wait for an RCU grace period: milliseconds, tens on a busy host. A thread
 * that moves itself needs none of that (Linux 5.5, "cgroup: Optimize single thread migration").
 */
int join_cgroups(const struct cgroup_fds *fds, struct fault *reterr)
{
	for (uint32_t i = 0; i < fds->v1_count; i++) {
		if (write(fds->v1[i], "0", 1) != 1)
			return fail_at(reterr, STEP_JOIN_CGROUPS, i);
	}
	return 0;
}

bool cgroup_lines_name(const char *text, const char *path, size_t count)
{
	size_t length = strlen(path);
	size_t found = 0;

	/* A line is "<hierarchy>:<controllers>:<path>". */
	while (*text != '\0') {
		const char *end = strchrnul(text, '\n');
		const char *first = memchr(text, ':', (size_t)(end - text));
		const char *second = first ? memchr(first + 1, ':', (size_t)(end - first - 1)) : NULL;

		if (second && (size_t)(end - second - 1) == length && memcmp(second + 1, path, length) == 0)
			found++;
		text = *end == '\0' ? end : end + 1;
	}
	return found >= count;
}

int verify_cgroups(const struct spec *spec, const struct cgroup_fds *fds, struct fault *reterr)
{
	static char text[PROC_CGROUP_SIZE];
	size_t wanted = fds->v1_count + (fds->v2 >= 0 ? 1 : 0);

	if (wanted == 0)
		return 0;
	if (read_text(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text)) < 0)
		return fail(reterr, STEP_VERIFY_CGROUPS);
	if (!cgroup_lines_name(text, spec->cgroup, wanted))
		return fail_with(reterr, STEP_VERIFY_CGROUPS, EXDEV);
	return 0;
}
