/* The task's output: pipes that init drains into the logs. */
#ifndef STOCKADE_OUTPUT_H
#define STOCKADE_OUTPUT_H

#include <stdbool.h>
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
 * Moves what is in the pipe to the log; beyond the cap, or where the disk is full, drops
 * and counts it. True: the pipe may have more some time.
 */
bool drain_output(struct output *output);

#endif
