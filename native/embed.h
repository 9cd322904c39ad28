/* LINK: the chroot's trees recreated in the task directory by hard links and copies. */
#ifndef STOCKADE_EMBED_H
#define STOCKADE_EMBED_H

#include "fault.h"
#include "spec.h"

/* Embeds each mount of the spec that asks for it, below the task directory. */
int embed_trees(const struct spec *spec, int task_dir, struct fault *reterr);

#endif
