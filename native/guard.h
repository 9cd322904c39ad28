/*
 * Stands by for init, which can be kept from all that it waits for: the kernel holds a pipe's lock for as long as a
 * splice into it waits for its source, and what init asks of an output pipe waits for that lock, where no signal reaches
 * it. The guard asks nothing of any pipe. Where the time is up, or the main process has ended, and init has not seen to
 * that within a second, it kills what is left of the task; with the holder the lock goes, and init goes on.
 *
 * A task without a time limit has one only where there is no cgroup by which the daemon could kill it.
 */
#ifndef STOCKADE_GUARD_H
#define STOCKADE_GUARD_H

#include "time-limits.h"

/* What init and its guard share. */
struct guarded {
	struct time_limits limits;
	uint32_t begun;	  /* the command has been executed, and the limits count */
	uint32_t overrun; /* for which of them the guard has killed the task */
};

/* To be called by init once it has only what it keeps; *guarded is in shared memory from then on. -1 with errno. */
int start_guard(struct guarded **guarded, int command_pidfd);
/* The time has been started. */
void begin_guard(struct guarded *guarded);

#endif
