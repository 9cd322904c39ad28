/*
 * The exit record: the file "exit" in a task's record directory. Init writes it whole,
 * zeroed in "pending" form, before the command may start, and overwrites it with one
 * pwrite when that has started, before the log loses output, before the task is killed for
 * a time limit, and when the main process has been reaped and its output drained: same
 * size, so a full disk cannot lose it.
 * Little endian, no padding.
 */
#ifndef STOCKADE_EXIT_RECORD_H
#define STOCKADE_EXIT_RECORD_H

#include <stdint.h>

#define EXIT_RECORD_MAGIC 0x58455453u /* "STEX" */
#define EXIT_RECORD_VERSION 1u
#define EXIT_RECORD_NAME "exit"

#define EXIT_ENDED 1u	/* wait_status and exited_ns are valid */
#define EXIT_STARTED 2u /* exec succeeded; started_ns is valid */
#define EXIT_LET_GO 4u	/* alone: whether the command was executed is not known */
/* Why init kills the task; written before it does. */
#define EXIT_TIMED_OUT 8u
#define EXIT_CPU_TIME 16u
#define EXIT_LIMITED 32u /* init keeps a time limit, and may yet write one of these two */
/* With ENDED: a pipe had not ended when init left it, so that somebody else could still write to it. */
#define EXIT_OUTPUT_TRUNCATED 64u

struct exit_record {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;	     /* EXIT_* ; 0: pending */
	int32_t wait_status; /* of the main process, as wait4 gives it */
	uint64_t started_ns; /* CLOCK_REALTIME */
	uint64_t exited_ns;  /* CLOCK_REALTIME */
	/* All that the task has written; of it, from the first byte on, what the log does not hold any more. */
	uint64_t stdout_bytes;
	uint64_t stderr_bytes;
	uint64_t stdout_dropped;
	uint64_t stderr_dropped;
	uint64_t cpu_user_us; /* RUSAGE_CHILDREN of init */
	uint64_t cpu_system_us;
	uint64_t memory_peak_bytes; /* largest ru_maxrss, not a sum */
	uint64_t checksum;	    /* FNV-1a 64 of all bytes before it */
};

_Static_assert(sizeof(struct exit_record) == 96, "the exit record has no padding");

#endif
