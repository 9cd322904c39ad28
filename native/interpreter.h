/* Which interpreter a program lacks: execve says only that it does. */
#ifndef STOCKADE_INTERPRETER_H
#define STOCKADE_INTERPRETER_H

#include "fault.h"

/*
 * The path of the interpreter that is not there: the one that `file` names, or one that its interpreter names. "": it
 * cannot be told. For the task's own user, in its root: the file is the task's, and may be anything.
 */
void find_missing_interpreter(const char *file, char ret_path[FAULT_PATH_SIZE]);

#endif
