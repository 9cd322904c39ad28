/* The process that becomes the command: from its birth in the task's cgroup to exec. */
#ifndef STOCKADE_COMMAND_H
#define STOCKADE_COMMAND_H

#include "cgroups.h"
#include "fault.h"
#include "spec.h"

struct command {
	const struct spec *spec;
	const struct cgroup_fds *cgroups;
	int gate;	/* its end of a SOCK_SEQPACKET pair with init */
	int start_data; /* memfd with START's body */
	int output[2];	/* write ends of the pipes */
};

/* What init says over the gate when the root that both share is the task's. */
static const char root_is_there = 'r';

/*
 * Makes ready what needs no root, waits over the gate for the root; makes ready the rest, says so (a fault with
 * STEP_OK), waits for the size of START's body (u64), and executes it. A fault is one record over the gate; what closes
 * the gate without one is exec, or its death: init asks the kernel which.
 */
_Noreturn void run_command(struct command *command);

#endif
