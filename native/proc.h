/* Reading files of /proc: small, and whole in one read. */
#ifndef STOCKADE_PROC_H
#define STOCKADE_PROC_H

#include <stddef.h>

/* Reads a file into text, of `size` bytes with its NUL; -1 with errno. */
int read_text(int dirfd, const char *path, char *ret_text, size_t size);
/* Where a field of /proc/<pid>/stat begins, from the third on (proc_pid_stat(5)); NULL: not there. */
const char *stat_field(const char *stat, int field);

#endif
