/* What CREATE asks for, parsed. Strings point into the message's body. */
#ifndef STOCKADE_SPEC_H
#define STOCKADE_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mount_spec {
	const char *source;
	const char *target;
	uint32_t flags; /* MOUNT_* */
};

struct file_spec {
	const char *path;
	mode_t mode;
	const uint8_t *content;
	size_t size;
	bool staged; /* its content is there, by a temporary name */
	size_t made; /* its path to the first directory that had to be made; 0: none */
};

struct spec {
	uint32_t flags; /* CREATE_* */
	uid_t uid;
	gid_t gid;
	uid_t init_uid;
	size_t group_count;
	gid_t *groups;
	const char *alloc_root;
	const char *alloc_id;
	const char *task_name;
	const char *record_dir;
	const char *hostname;
	const char *work_dir;
	const char *cgroup;
	const char *cgroup_v2;
	size_t cgroup_v1_count;
	const char **cgroup_v1;
	uint64_t tmp_bytes;
	uint64_t shm_bytes;
	uint64_t log_bytes;
	uint64_t link_bytes;
	uint64_t timeout_ns;	   /* 0: none */
	uint64_t cpu_time_ns;	   /* 0: no limit */
	const char *cpu_time_file; /* "" where there is no limit */
	size_t mount_count;
	struct mount_spec *mounts;
	size_t file_count;
	struct file_spec *files;
	const uint8_t *stdin_bytes;
	size_t stdin_size;
	const uint8_t *body;
	size_t body_size;
};

/* False: the body is no CREATE. The spec's arrays are to be freed in both cases. */
bool parse_spec(struct spec *ret_spec, const uint8_t *body, size_t size);
void free_spec(struct spec *spec);
/*
 * Gives back the memory of what the spec points into: files can be megabytes, and init may live for years. Its numbers
 * stay, its strings do not.
 */
void forget_body(const struct spec *spec);

/* True: some of the task's root is embedded, which takes a directory on disk. */
bool has_links(const struct spec *spec);

/* True: one path component, neither "." nor "..", nor empty. */
bool is_name(const char *name);

#endif
