/*
 * How a step fails. Functions that can fail return 0 or -1 and, on -1, have filled the
 * fault, with errno read once, there. Nothing prints, and nothing exits below main and
 * the processes' own last lines.
 */
#ifndef STOCKADE_FAULT_H
#define STOCKADE_FAULT_H

#include <errno.h>
#include <stdint.h>

enum step {
	STEP_OK = 0,
#define STEP(name, words) STEP_##name,
#include "steps.def"
#undef STEP
};

struct fault {
	uint32_t step;
	int32_t error; /* errno */
	uint32_t index;
};

static inline int fail_at(struct fault *reterr, enum step step, uint32_t index)
{
	reterr->error = errno;
	reterr->step = step;
	reterr->index = index;
	return -1;
}

static inline int fail(struct fault *reterr, enum step step)
{
	return fail_at(reterr, step, 0);
}

static inline int fail_with(struct fault *reterr, enum step step, int error)
{
	errno = error;
	return fail_at(reterr, step, 0);
}

#endif
