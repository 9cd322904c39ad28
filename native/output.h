/* The task's output: pipes that init drains into the logs. */
#ifndef STOCKADE_OUTPUT_H
#define STOCKADE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "record.h"

/*
 * What the task has written lies in the log at the offset at which it was written. Of more than the cap, or than the
 * disk has room for, the oldest goes: its bytes are a hole in the file, and the record says where what is kept
 * begins, before they are gone. Who reads reads the record last.
 */
struct output {
	int pipe; /* read end, non-blocking; -1: closed */
	int log;  /* its offset is `*end` */
	uint64_t cap;
	uint64_t *start; /* offset of the first byte that is kept, in the record */
	uint64_t *end;	 /* how many bytes there have been, in the record */
	struct exit_record *record;
	int record_fd;
};

/* Moves to the log what is in the pipe, or a part of it. Answers how many bytes there were. */
size_t move_output(struct output *output);

/*
 * The same for all that is in the pipe now: who still writes does not hold up the end. Answers whether that was all
 * that there will ever be: the pipe is empty, and nobody has its write end.
 */
bool drain_output(struct output *output);

#endif
