/*
 * The files of a request, by the command's process: in the task's root and cgroup and as the task's user, so that the
 * kernel allows what that user may do, and charges whom it should. No link is followed, nor a mount crossed, below the
 * directory of the root that a path begins with.
 */
#ifndef STOCKADE_FILES_H
#define STOCKADE_FILES_H

#include "fault.h"
#include "spec.h"

/* Makes what is missing of their directories, and writes them by temporary names beside what they are to replace. */
int write_files(const struct spec *spec, struct fault *reterr);
/* Renames them to their own. What is there goes, unless it is a directory: EISDIR. */
int place_files(const struct spec *spec, struct fault *reterr);
/* What write_files has made, undone, as far as place_files has not come. Keeps errno. */
void discard_files(const struct spec *spec);

#endif
