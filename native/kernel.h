/* System calls that this C library has no wrapper for, and the few that are easily misused. */
#ifndef STOCKADE_KERNEL_H
#define STOCKADE_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * fork() with namespaces, a pidfd and, if cgroup is not -1, a v2 cgroup to be born in.
 * The child has a copy of everything, as after fork(); no atfork handler runs.
 */
pid_t kernel_clone(uint64_t flags, int cgroup, int *ret_pidfd);

/* Follows no symlink and stays beneath dir. */
int kernel_open_beneath(int dir, const char *path, int flags, mode_t mode);
/* The same, and stays on dir's mount. */
int kernel_open_on_mount(int dir, const char *path, int flags);

int kernel_pivot_root(const char *new_root, const char *put_old);

/* Closes every descriptor from first on, less those in keep. May reorder keep. */
int kernel_close_others(int first, int *keep, size_t keep_count);

/* Closes *fd, if there is one, and forgets it. */
void close_fd(int *fd);

uint64_t clock_ns(int clock);

/* Never more than 31 bytes: a decimal number with its NUL. */
void format_u64(uint64_t value, char ret_text[32]);

#endif
