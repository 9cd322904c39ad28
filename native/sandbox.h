/*
 * What init and the command know of their task, and the powers that the steps use, one
 * file each. Descriptors are -1 when they are not open.
 */
#ifndef STOCKADE_SANDBOX_H
#define STOCKADE_SANDBOX_H

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "fault.h"
#include "message.h"

struct sandbox {
	const struct create_spec *spec;
	/* The launcher's own ids: owner of the directories. Root, but in a user namespace. */
	uid_t owner_uid;
	gid_t owner_gid;
	/* In a user namespace that knows the owner's ids alone: none can be changed. */
	bool single_id;
	/* The original argument strings: what /proc/1/cmdline shows. */
	char *title;
	size_t title_size;
	/* As the launcher found it, before it raised its own. */
	struct rlimit descriptor_limit;

	int control; /* to the launcher */
	int start;   /* memfd with START's body */
	int cgroup_v2;
	int *cgroup_v1; /* cgroup.procs of each hierarchy, open for writing */

	int record;
	int log_dir;
	int logs[2];
	struct exit_record exit;

	int shared_dir; /* <alloc>/alloc */
	int task_dir;   /* <alloc>/<task_name> */
	int local_dir;  /* <alloc>/<task_name>/local */
	int root;       /* the mount that becomes / */
	int outputs[2]; /* init's ends of the pipes */
	int output_writers[2];

	int gate; /* between init and command; each process keeps its own end here */
	int command_gate;
	pid_t command;
	int command_pidfd;
	int command_stat; /* /proc/<command>/stat */
};

/* namespaces.c */
int namespaces_map_own_ids(uid_t uid, gid_t gid, struct fault *reterr);
int namespaces_set_hostname(const char *name, struct fault *reterr);
int namespaces_raise_loopback(struct fault *reterr);

/* taskdir.c */
int taskdir_make_alloc(struct sandbox *box, struct fault *reterr);
int taskdir_make_task(struct sandbox *box, struct fault *reterr);
/* Best effort: where the file system does not allow links there are none. */
void taskdir_link_logs(const struct sandbox *box);
/* Makes the directories that lead to a relative path, and opens the last; ret_name: the path's last part. */
int taskdir_open_parent(int root, const char *path, int *ret_parent, const char **ret_name);
/* An absolute path inside the task as a path relative to its root; NULL for the root itself. */
const char *taskdir_relative(const char *path);

/* embed.c */
int embed_trees(const struct sandbox *box, struct fault *reterr);

/* mounts.c */
int mounts_make_private(struct fault *reterr);
int mounts_root(struct sandbox *box, struct fault *reterr);
int mounts_binds(struct sandbox *box, struct fault *reterr);
int mounts_dirs(struct sandbox *box, struct fault *reterr);
int mounts_proc(struct sandbox *box, struct fault *reterr);
int mounts_dev(struct sandbox *box, struct fault *reterr);
int mounts_tmp(struct sandbox *box, struct fault *reterr);
int mounts_seal_root(struct sandbox *box, struct fault *reterr);
int mounts_pivot(struct sandbox *box, struct fault *reterr);

/* cgroups.c */
int cgroups_open(const struct create_spec *spec, int *ret_v2, int *ret_v1, struct fault *reterr);
int cgroups_join(const struct sandbox *box, struct fault *reterr);
int cgroups_verify(const struct sandbox *box, struct fault *reterr);
/* Whether the text of a /proc/<pid>/cgroup shows path in the v2 hierarchy, if asked, and in v1_count others. */
bool cgroups_text_matches(const char *text, const char *path, bool v2, uint32_t v1_count);

/* credentials.c */
int credentials_set_user(const struct sandbox *box, struct fault *reterr);
int credentials_drop_capabilities(struct fault *reterr);
int credentials_verify_user(const struct sandbox *box, struct fault *reterr);
int credentials_drop_init(const struct sandbox *box, struct fault *reterr);
int credentials_verify_init(const struct sandbox *box, struct fault *reterr);

/* init.c: never returns */
_Noreturn void init_run(struct sandbox *box);
/* command.c: never returns but by exec */
_Noreturn void command_run(struct sandbox *box);

/* Between launcher and init, one per packet. */
enum control_type {
	CONTROL_MAPPED = 1, /* to init: the ids are mapped */
	CONTROL_START,      /* to init: start_size bytes are in the memfd */
	CONTROL_READY,      /* to the launcher, with the command's pidfd */
	CONTROL_FAULT,
	CONTROL_STARTED,
	CONTROL_ENDED,
};

struct control_message {
	uint32_t type;
	struct fault fault;
	uint64_t start_size;
	uint64_t started_ns; /* CLOCK_REALTIME */
	uint64_t started_boottime_ns;
	struct exit_record exit;
};

/* Between init and command, one per packet. */
enum gate_type { GATE_READY = 1, GATE_FAULT, GATE_GO };

struct gate_message {
	uint32_t type;
	struct fault fault;
	uint64_t start_size;
};

#endif
