/*
 * The task's init: pid 1 of its namespaces. What launcher and init say to each other goes
 * over a SOCK_SEQPACKET pair, one record a packet.
 */
#ifndef STOCKADE_INIT_H
#define STOCKADE_INIT_H

#include "cgroups.h"
#include "exit-record.h"
#include "fault.h"
#include "spec.h"

enum init_word {
	INIT_READY = 1, /* with the command's pidfd as SCM_RIGHTS */
	INIT_FAULT,
	INIT_STARTED,
	INIT_OVERRUN, /* in exit.flags, which */
	INIT_EXITED,
};

struct from_init {
	uint32_t word;
	struct fault fault;
	uint64_t started_ns;  /* CLOCK_REALTIME */
	uint64_t boottime_ns; /* CLOCK_BOOTTIME */
	struct exit_record exit;
};

/* The one thing that init is told: to let the command go, with so many bytes of START. */
struct to_init {
	uint64_t start_size;
};

struct init_channels {
	int control;	/* init's end of the pair */
	int start_data; /* memfd that will hold START's body */
};

_Noreturn void run_init(const struct spec *spec, const struct cgroup_fds *cgroups,
			const struct init_channels *channels);

#endif
