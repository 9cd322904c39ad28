/* What a process shows of itself, and which descriptors it keeps. */
#ifndef STOCKADE_PROCESS_H
#define STOCKADE_PROCESS_H

#include <stddef.h>

/* To be called first, with main's arguments. */
void remember_arguments(int argc, char **argv);
/* What /proc/<pid>/cmdline and comm say: no path of the host. */
void rename_process(const char *name);
/* Closes every descriptor but these; the array is sorted, -1 is passed over. */
int close_all_but(int *fds, size_t count);
/* Default disposition for each signal, and none blocked. -1 with errno. */
int reset_signals(void);
/* Signals, session, umask and limits as a program expects them that nobody has prepared anything for. -1 with errno. */
int reset_attributes(void);

#endif
