/* The exit record on disk. */
#ifndef STOCKADE_RECORD_H
#define STOCKADE_RECORD_H

#include "exit-record.h"
#include "fault.h"

/* The descriptors of a task's record directory that init keeps. */
struct record_fds {
	int exit;
	int log[2]; /* stdout, stderr */
};

/* Makes the pending record and the empty logs; ret_dir keeps the directory open. */
int open_record(const char *record_dir, struct record_fds *ret_fds, int *ret_dir, struct fault *reterr);
/* Fills in magic, version and checksum, and writes all of it in one call. */
int write_record(int fd, struct exit_record *record);
uint64_t record_checksum(const struct exit_record *record);

#endif
