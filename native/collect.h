/*
 * COLLECT of protocol.h: copies a file that a task has left, by a process of its own. What the task's user may not read
 * is not read for him: the file is opened as the user whom /local was given to, in no other group than his, without
 * capabilities. What is copied is bounded, whatever the file is, or becomes meanwhile.
 */
#ifndef STOCKADE_COLLECT_H
#define STOCKADE_COLLECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fault.h"

/* Strings point into the message's body. */
struct collect {
	const char *alloc_root;
	const char *alloc_id;
	const char *task_name;
	const char *path;
	uint64_t max_bytes;
	const char *into;
};

struct collected {
	uint64_t size;
	mode_t mode;
	bool truncated;
};

/* False: the body is no COLLECT. */
bool parse_collect(struct collect *ret_collect, const uint8_t *body, size_t size);

/*
 * To be called by a process that does nothing else: it gives up its capabilities, and dies of SIGALRM where the disk
 * does not answer. On failure nothing is left of the copy.
 */
int collect_file(const struct collect *collect, struct collected *ret_collected, struct fault *reterr);

#endif
