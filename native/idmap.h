/* Whether mounts of a file system can map users to others. */
#ifndef STOCKADE_IDMAP_H
#define STOCKADE_IDMAP_H

#include <stdbool.h>

/* Tried on a detached mount of the directory, which nobody else sees. False, with errno: they cannot. */
bool can_idmap(int dir);

#endif
