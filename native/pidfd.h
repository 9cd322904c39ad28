/*
 * Other processes, by pidfds: a pid alone may be another's tomorrow (I5). A pid together with its start time names one
 * process for as long as the host is up.
 */
#ifndef STOCKADE_PIDFD_H
#define STOCKADE_PIDFD_H

#include <stdint.h>
#include <sys/types.h>

struct process_id {
	pid_t pid;	      /* in this process's pid namespace */
	uint64_t start_ticks; /* since boot: field 22 of its stat */
};

/* Which process a pidfd stands for; -1 with errno, ESRCH: it has ended. */
int identify_process(int pidfd, struct process_id *ret_id);
/* A pidfd of the process; -1 with errno, ESRCH: it has ended, though nobody may have reaped it, or never was. */
int open_process(const struct process_id *id);

#endif
