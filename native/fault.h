/*
 * How a step says that it failed. A function returns 0, or -1 with *reterr filled; errno
 * is read once, where the call failed, and whoever runs the table of steps stamps the
 * step's name on it. Nothing is printed: the daemon words it.
 */
#ifndef STOCKADE_FAULT_H
#define STOCKADE_FAULT_H

#include <errno.h>
#include <stdint.h>

enum step {
	STEP_UNKNOWN = 0,
#define STEP(name, words) STEP_##name,
#include "steps.def"
#undef STEP
};

struct fault {
	uint32_t step;  /* enum step */
	int32_t error;  /* errno */
	uint32_t index; /* of the mount, group, cgroup or PATH element */
};

/* Takes errno as the reason; always -1, so that a failing step ends in one line. */
static inline int fault_at(struct fault *reterr, uint32_t index)
{
	*reterr = (struct fault){.error = errno, .index = index};
	return -1;
}

static inline int fault_errno(struct fault *reterr)
{
	return fault_at(reterr, 0);
}

static inline int fault_is(struct fault *reterr, int error)
{
	*reterr = (struct fault){.error = error};
	return -1;
}

#endif
