/* The exit record: see exit-record.h for what it promises. */
#ifndef STOCKADE_RECORD_H
#define STOCKADE_RECORD_H

#include "exit-record.h"
#include "fault.h"

/* FNV-1a 64 of all bytes before the checksum. */
uint64_t record_checksum(const struct exit_record *record);

/* Magic and version set, everything else zero: pending. */
void record_begin(struct exit_record *ret_record);

/* Sets the checksum and writes the record over the file's first bytes, in one pwrite. */
int record_write(int fd, struct exit_record *record);

/* RUSAGE_CHILDREN into the record. */
void record_add_usage(struct exit_record *record);

/*
 * Opens the exit record (pending form written) and the two logs in the record directory.
 * Every descriptor is the caller's; ret_log_dir is for linking the logs.
 */
int record_open(const char *directory, struct exit_record *record, int *ret_record, int *ret_log_dir,
		int ret_logs[2], struct fault *reterr);

#endif
