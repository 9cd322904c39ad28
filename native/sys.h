/*
 * System calls that glibc does not wrap, or that its wrappers would get in the way of,
 * and small helpers around descriptors.
 */
#ifndef STOCKADE_SYS_H
#define STOCKADE_SYS_H

#include <linux/mount.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* As fork(2), with clone3's flags. cgroup_fd: -1 or the cgroup to be born in. */
pid_t sys_clone(uint64_t flags, int *ret_pidfd, int cgroup_fd);
int sys_pivot_root(const char *new_root, const char *put_old);
int sys_pidfd_open(pid_t pid);
int sys_pidfd_send_signal(int pidfd, int signal);
int sys_open_tree(int dirfd, const char *path, unsigned int flags);
int sys_move_mount(int tree, int target);
int sys_mount_setattr(int fd, unsigned int flags, struct mount_attr *attr);
int sys_fsopen(const char *type);
int sys_fsconfig_string(int fd, const char *key, const char *value);
int sys_fsconfig_flag(int fd, const char *key);
int sys_fsconfig_create(int fd);
int sys_fsmount(int fd, unsigned int attributes);
int sys_close_range(unsigned int first, unsigned int last);

/* Leaves the inherited session keyring for a new one that has no name. */
int sys_new_session_keyring(void);

/* Opens below dirfd only, following no link of any kind (I6). */
int open_beneath(int dirfd, const char *path, int flags);

/* The same, and stays on dirfd's mount. */
int open_within(int dirfd, const char *path, int flags);

/* Opens a path of the host that the daemon has resolved: a link in it was put there since. */
int open_real(const char *path, int flags);

/* Closes *fd if it is open and sets it to -1. Keeps errno. */
void close_fd(int *fd);

int write_all(int fd, const void *bytes, size_t size);
uint64_t now_ns(int clock);

#endif
