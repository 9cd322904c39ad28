/* The task's output: pipes that init drains into the logs. */
#ifndef STOCKADE_OUTPUT_H
#define STOCKADE_OUTPUT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct output {
	int pipe; /* read end, non-blocking; -1: closed */
	int log;
	uint64_t cap;
	uint64_t written;
	uint64_t dropped;
};

/*
 * Moves to the log what is in the pipe, or a part of it; beyond the cap, or where the disk is full, drops and counts
 * it. Answers how many bytes there were.
 */
size_t move_output(struct output *output);

/* The same for all that is in the pipe now: who still writes does not hold up the end. */
void drain_output(struct output *output);

#endif
