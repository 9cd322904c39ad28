/* What ATTACH and FIND_INIT ask for: inits of an earlier launcher's. */
#ifndef STOCKADE_ATTACH_H
#define STOCKADE_ATTACH_H

#include <stdbool.h>
#include <stddef.h>

#include "pidfd.h"

struct attach {
	struct process_id init;
	uid_t init_uid;
	struct process_id command; /* pid 0: there is none */
};

struct attach_pidfds {
	int init;
	int command; /* -1: it has ended, or there is none */
};

/* False: the body is no ATTACH. */
bool parse_attach(struct attach *ret_attach, const uint8_t *body, size_t size);
/* -1 with errno, and nothing opened; ESRCH: init has ended, or never was. */
int open_attached(const struct attach *attach, struct attach_pidfds *ret_pidfds);

/* Whose exit record it is in a record directory, by the lock of open_record; -1 with errno, ESRCH: nobody's. */
int find_init(const char *record_dir, struct process_id *ret_id);

#endif
