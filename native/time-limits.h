/*
 * A task's time limits, kept by init: of the time from exec on, and of the CPU time of all its processes, which the
 * kernel counts in a file of their cgroup. One timer says when either can be reached at the earliest.
 */
#ifndef STOCKADE_TIME_LIMITS_H
#define STOCKADE_TIME_LIMITS_H

#include "fault.h"
#include "spec.h"

/* How late it may be seen that the CPU time is used up, for each CPU, in ns: of a task that is busy, and of one that was idle. */
#define LOOK_SHORTEST_NS 10000000u
#define LOOK_LONGEST_NS 100000000u

struct time_limits {
	int timer;	      /* -1: there is no limit */
	int cpu_time_file;    /* -1: of CPU time there is none */
	uint64_t timeout_ns;  /* 0: none */
	uint64_t cpu_time_ns; /* the limit */
	uint64_t cpus;	      /* of the host */
	uint64_t deadline_ns; /* CLOCK_BOOTTIME; UINT64_MAX: none */
	uint64_t used_ns;     /* when it was last looked at */
	uint64_t pause_ns;    /* the least until it is looked at again */
};

#define NO_TIME_LIMITS ((struct time_limits){.timer = -1, .cpu_time_file = -1})

/* Found once; what is forked knows it then. */
uint64_t host_cpus(void);
/* Its timer has expired from the start on, so that nothing can fail once the command runs. cpu_time_file stays the caller's. */
int make_time_limits(const struct spec *spec, int cpu_time_file, struct time_limits *ret_limits,
		     struct fault *reterr);
/* The command has been executed now. */
void start_time(struct time_limits *limits);
/* To be called when the timer can be read: EXIT_TIMED_OUT, EXIT_CPU_TIME, or 0 and the timer is set anew. */
uint32_t look_at_time(struct time_limits *limits);

/* cpu.stat of cgroup v2, or cpuacct.usage of v1, in ns; -1 with errno. */
int read_cpu_time(int file, uint64_t *ret_ns);
/* In how many ns the CPU time is to be looked at again; 0: it is used up. */
uint64_t next_look(struct time_limits *limits, uint64_t used_ns);

#endif
