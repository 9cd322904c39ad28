/* The alloc directory and the task's own, made and opened without following any link. */
#ifndef STOCKADE_TASKDIR_H
#define STOCKADE_TASKDIR_H

#include <stdbool.h>
#include <sys/stat.h>

#include "fault.h"
#include "spec.h"

/* What of /alloc the tasks may write. */
enum { SHARED_COUNT = 3 };
extern const char *const shared_names[SHARED_COUNT];

struct task_dirs {
	int alloc_root;
	int alloc;  /* <alloc_root>/<alloc_id> */
	int shared; /* its "alloc": /alloc in the task */
	int task;   /* <alloc>/<task_name> */
	int local;  /* its "local": /local in the task */
	bool given; /* to the task's user, and has been this before: */
	struct stat earlier;
};

#define NO_TASK_DIRS                                                                                         \
	(struct task_dirs)                                                                                   \
	{                                                                                                    \
		.alloc_root = -1, .alloc = -1, .shared = -1, .task = -1, .local = -1,                        \
	}

int make_alloc_dir(const struct spec *spec, struct task_dirs *dirs, struct fault *reterr);
int make_task_dir(const struct spec *spec, struct task_dirs *dirs, struct fault *reterr);
/*
 * What an earlier run has left in /local is changed by these alone, once nothing that a request can ask for fails any
 * more: /local goes to the task's user, and hard links of the logs into it, where the file system allows.
 */
int give_local(const struct spec *spec, struct task_dirs *dirs, struct fault *reterr);
void link_logs(const struct spec *spec, const struct task_dirs *dirs, int record_dir);
/* What give_local has done, undone: the task is not to be. */
void take_local_back(struct task_dirs *dirs);
/* All but local. */
void close_outer_dirs(struct task_dirs *dirs);
void close_task_dirs(struct task_dirs *dirs);

/* Makes the directory if it is not there, and opens it; what is there is no link. The mode is that of a new one. */
int make_dir_at(int parent, const char *name, mode_t mode);
/*
 * Makes what a mount at the absolute path needs below root: its parents, and itself as a
 * directory or an empty file. Opens it (O_PATH). In what is mounted below root it makes nothing: EXDEV where it
 * would have to.
 */
int make_mount_point(int root, const char *path, bool is_directory);

#endif
