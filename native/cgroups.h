/* Joining the task's cgroup, and proving it. */
#ifndef STOCKADE_CGROUPS_H
#define STOCKADE_CGROUPS_H

#include "fault.h"
#include "spec.h"

enum { CGROUPS_MAX = 16 };

/* Descriptors opened on the host's side of pivot_root. */
struct cgroup_fds {
	int v2;		     /* the directory, to be born into; -1: none */
	int v1[CGROUPS_MAX]; /* each "tasks", to be written */
	size_t v1_count;
	int cpu_time; /* the file that counts it; -1: it is not limited */
};

int open_cgroups(const struct spec *spec, struct cgroup_fds *ret_fds, struct fault *reterr);
void close_cgroups(struct cgroup_fds *fds);
/* Moves the calling process into each v1 cgroup; into the v2 cgroup it was born. */
int join_cgroups(const struct cgroup_fds *fds, struct fault *reterr);
/* Reads from /proc whether the calling process is where it should be. */
int verify_cgroups(const struct spec *spec, const struct cgroup_fds *fds, struct fault *reterr);
/* True: every one of `count` lines of a /proc/<pid>/cgroup must name the path. */
bool cgroup_lines_name(const char *text, const char *path, size_t count);

#endif
