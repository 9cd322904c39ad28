/*
 * The task's root as mounts: made detached, by descriptors, and attached below the root.
 * No path of the host is looked up but the sources of the binds.
 */
#ifndef STOCKADE_MOUNTS_H
#define STOCKADE_MOUNTS_H

#include "fault.h"
#include "spec.h"
#include "taskdir.h"

int make_mounts_private(struct fault *reterr);
/*
 * The root of the mount namespace is an empty file system, and the task's a mount on a directory of it. The
 * kernel makes no user namespace for a process whose root is not its mount namespace's (unshare(2), EPERM): in
 * one, a task would have every capability over whatever of the kernel it can then unshare.
 */
struct task_root {
	int base;
	int tree; /* the task's root as a mount */
};

#define NO_TASK_ROOT                                                                                         \
	(struct task_root)                                                                                   \
	{                                                                                                    \
		.base = -1, .tree = -1                                                                       \
	}

/* The task directory is the root where trees are embedded in it; otherwise there is nothing to keep on a disk. */
int mount_root(const struct spec *spec, const struct task_dirs *dirs, struct task_root *ret_root,
	       struct fault *reterr);
int mount_binds(const struct spec *spec, int root, struct fault *reterr);
int mount_dirs(const struct spec *spec, const struct task_dirs *dirs, int root, struct fault *reterr);
int mount_proc(int root, struct fault *reterr);
int mount_dev(const struct spec *spec, int root, struct fault *reterr);
int mount_tmp(const struct spec *spec, int root, struct fault *reterr);
int seal_root(const struct task_root *root, struct fault *reterr);
/* The task's root becomes that of whoever shares it. The host's is above it still, for leave_host. */
int pivot_root_to(const struct task_root *root, struct fault *reterr);
/* Takes the host's mounts away; to be called after pivot_root_to, from where that has left the work directory. */
int leave_host(struct fault *reterr);
void close_root(struct task_root *root);

#endif
