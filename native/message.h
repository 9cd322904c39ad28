/*
 * Reading and writing the bodies of protocol.h. Reading is total: any bytes give either
 * a whole, checked message or -1, never a read outside the body. What is read points into
 * the body, which must outlive it.
 */
#ifndef STOCKADE_MESSAGE_H
#define STOCKADE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "exit-record.h"
#include "fault.h"
#include "protocol.h"

#define MESSAGE(name, number) MESSAGE_##name = number,
enum message_type { TO_LAUNCHER(MESSAGE) TO_DAEMON(MESSAGE) };
#undef MESSAGE

#define MESSAGE_HEADER_SIZE 16u

struct message_header {
	uint32_t size;
	uint32_t type;
	uint64_t task;
};

struct mount_spec {
	const char *source;
	const char *target;
	uint32_t flags;
};

struct create_spec {
	uint32_t flags;
	uint32_t uid, gid;
	uint32_t init_uid;
	uint32_t *groups;
	uint32_t group_count;
	const char *alloc_root;
	const char *alloc_id;
	const char *task_name;
	const char *record_dir;
	const char *hostname;
	const char *work_dir;
	const char *cgroup;
	const char *cgroup_v2;
	const char **cgroup_v1;
	uint32_t cgroup_v1_count;
	uint64_t tmp_bytes, shm_bytes;
	uint64_t log_bytes;
	uint64_t link_bytes;
	struct mount_spec *mounts;
	uint32_t mount_count;
};

struct start_spec {
	const char *path;
	uint32_t argument_count;
	uint32_t variable_count;
	const uint8_t *arguments; /* where they begin in the body */
	const uint8_t *variables;
};

struct remove_spec {
	uint32_t scope;
	const char *alloc_root;
	const char *alloc_id;
	const char *task_name;
};

void message_read_header(const uint8_t bytes[MESSAGE_HEADER_SIZE], struct message_header *ret_header);

/* -1 with errno EBADMSG: no CREATE; ENOMEM. On success, message_free_create. */
int message_read_create(const uint8_t *body, size_t size, struct create_spec *ret_spec);
void message_free_create(struct create_spec *spec);
/* Whether the values make sense together; errno EINVAL. Ids and names are checked here. */
int message_check_create(const struct create_spec *spec);

int message_read_start(const uint8_t *body, size_t size, struct start_spec *ret_spec);
/* Fills arrays that have room for the count and a closing NULL. */
void message_list_start(const struct start_spec *spec, char **ret_arguments, char **ret_variables);

int message_read_signal(const uint8_t *body, size_t size, uint32_t *ret_signal);
int message_read_remove(const uint8_t *body, size_t size, struct remove_spec *ret_spec);

/* [A-Za-z0-9][A-Za-z0-9._-]{0,127} */
bool message_is_name(const char *text);

/* A message to the daemon: all of them are small. */
struct outgoing {
	uint8_t bytes[256];
	size_t size;
};

void message_begin(struct outgoing *message, enum message_type type, uint64_t task);
void message_put_u32(struct outgoing *message, uint32_t value);
void message_put_u64(struct outgoing *message, uint64_t value);
void message_put_record(struct outgoing *message, const struct exit_record *record);
/* Writes the size into the header. */
void message_finish(struct outgoing *message);

#endif
