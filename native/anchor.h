/* The one process of the service whose cgroup holds the tasks: it keeps the cgroup, and does nothing. */
#ifndef STOCKADE_ANCHOR_H
#define STOCKADE_ANCHOR_H

/* Ends by a signal alone, else with an exit status and a word on standard error. */
int run_anchor(void);

#endif
