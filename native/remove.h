/* Removal of what tasks leave on disk, following no link and crossing into no mount. */
#ifndef STOCKADE_REMOVE_H
#define STOCKADE_REMOVE_H

#include "fault.h"

/* Removes an entry of a directory with all below it; what is not there is no error. */
int remove_entry(int dir, const char *name);
/* REMOVE of protocol.h; scope is one of REMOVE_*. */
int remove_scope(uint32_t scope, const char *alloc_root, const char *alloc_id, const char *task_name,
		 struct fault *reterr);

#endif
