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

/* The most of a script that the kernel reads for its interpreter. */
enum { FAULT_PATH_SIZE = 256 };

struct fault {
	uint32_t step;
	int32_t error; /* errno */
	uint32_t index;
	char path[FAULT_PATH_SIZE]; /* of FIND_INTERPRETER, where it is known; else "" */
};

static inline int fail_at(struct fault *reterr, enum step step, uint32_t index)
{
	reterr->error = errno;
	reterr->step = step;
	reterr->index = index;
	reterr->path[0] = '\0';
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
