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
/* Mounts the task directory over itself; ret_root is its root as a mount. */
int mount_root(const struct task_dirs *dirs, int *ret_root, struct fault *reterr);
int mount_binds(const struct spec *spec, int root, struct fault *reterr);
int mount_dirs(const struct spec *spec, const struct task_dirs *dirs, int root, struct fault *reterr);
int mount_proc(int root, struct fault *reterr);
int mount_dev(const struct spec *spec, int root, struct fault *reterr);
int mount_tmp(const struct spec *spec, int root, struct fault *reterr);
int seal_root(int root, struct fault *reterr);
int pivot_root_to(int root, struct fault *reterr);

#endif
