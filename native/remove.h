/* Removal of trees that tasks could write. */
#ifndef STOCKADE_REMOVE_H
#define STOCKADE_REMOVE_H

#include "fault.h"
#include "message.h"

/*
 * Removes what name is in dir, with all that is below it, following nothing and staying
 * on one mount. What is not there is no error. -1 with errno.
 */
int remove_entry(int dir, const char *name);

/* Does what REMOVE asks for. */
int remove_run(const struct remove_spec *spec, struct fault *reterr);

#endif
