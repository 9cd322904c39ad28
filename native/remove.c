/*
 * Removal of trees that tasks could write, and may be writing still (another task of the
 * same alloc). Depth is bounded by moving what lies too deep up to the top of the tree
 * that is being removed: a task may nest directories deeper than any stack or descriptor
 * table, and walking back by ".." could be led astray by a rename.
 */
#include "remove.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel.h"

#define DEPTH_MAX 32
/* Passes over one directory that others keep filling. */
#define PASSES_MAX 64

struct removal {
	int top; /* where what lies too deep is moved to */
	uint64_t moved;
};

static int remove_in(struct removal *removal, int dir, const char *name, int depth);

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Removes every entry but keep, if that is not NULL. A pass may miss what is moved or made meanwhile. */
static int empty_dir(struct removal *removal, int dir, int depth, const char *keep)
{
	char buffer[8192] __attribute__((aligned(8)));
	for (int pass = 0; pass < PASSES_MAX; pass++) {
		bool found = false;
		ssize_t size;
		if (lseek(dir, 0, SEEK_SET) < 0)
			return -1;
		while ((size = getdents64(dir, buffer, sizeof(buffer))) > 0) {
			for (ssize_t at = 0; at < size;) {
				const struct dirent64 *entry = (const struct dirent64 *)(const void *)(buffer + at);
				at += entry->d_reclen;
				if (is_dots(entry->d_name) || (keep != NULL && strcmp(entry->d_name, keep) == 0))
					continue;
				found = true;
				if (remove_in(removal, dir, entry->d_name, depth) < 0)
					return -1;
			}
		}
		if (size < 0)
			return -1;
		if (!found)
			return 0;
	}
	errno = EBUSY;
	return -1;
}

static int move_up(struct removal *removal, int dir, const char *name)
{
	for (;;) {
		char target[64] = ".removing-";
		format_u64(removal->moved++, target + strlen(target));
		if (renameat2(dir, name, removal->top, target, RENAME_NOREPLACE) == 0 || errno == ENOENT)
			return 0;
		if (errno != EEXIST)
			return -1;
	}
}

/* Without root, a directory's mode may keep even its owner out. */
static int open_for_removal(int dir, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
	int fd = kernel_open_on_mount(dir, name, flags);
	if (geteuid() == 0)
		return fd;
	if (fd < 0 && errno == EACCES) {
		char path[64] = "/proc/self/fd/";
		int handle = kernel_open_on_mount(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
		if (handle < 0)
			return -1;
		format_u64((uint64_t)handle, path + strlen(path));
		(void)chmod(path, 0700);
		close_fd(&handle);
		fd = kernel_open_on_mount(dir, name, flags);
	}
	if (fd >= 0)
		(void)fchmod(fd, 0700);
	return fd;
}

static int remove_in(struct removal *removal, int dir, const char *name, int depth)
{
	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	/* POSIX lets unlink of a directory fail with EPERM; Linux says EISDIR. */
	if (errno != EISDIR && errno != EPERM)
		return -1;
	int unlink_error = errno;
	if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno == ENOTDIR) {
		errno = unlink_error;
		return -1;
	}
	if (errno != ENOTEMPTY && errno != EEXIST)
		return -1;
	if (depth >= DEPTH_MAX)
		return move_up(removal, dir, name);
	int child = open_for_removal(dir, name);
	if (child < 0)
		return errno == ENOENT ? 0 : -1;
	int result = empty_dir(removal, child, depth + 1, NULL);
	int error = errno;
	close_fd(&child);
	errno = error;
	if (result < 0)
		return -1;
	return unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -1;
}

int remove_entry(int dir, const char *name)
{
	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	int top = open_for_removal(dir, name);
	if (top < 0)
		return -1;
	struct removal removal = {.top = top};
	int result = empty_dir(&removal, top, 0, NULL);
	int error = errno;
	close_fd(&top);
	errno = error;
	if (result < 0)
		return -1;
	return unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -1;
}

static int remove_trees(int alloc, const char *task_name)
{
	int task = open_for_removal(alloc, task_name);
	if (task < 0)
		return errno == ENOENT ? 0 : -1;
	struct removal removal = {.top = task};
	int result = empty_dir(&removal, task, 0, "local");
	int error = errno;
	close_fd(&task);
	errno = error;
	return result;
}

int remove_run(const struct remove_spec *spec, struct fault *reterr)
{
	int result;
	if (spec->alloc_root[0] != '/' || !message_is_name(spec->alloc_id) || !message_is_name(spec->task_name) ||
	    spec->scope > REMOVE_ALLOC)
		return fault_is(reterr, EINVAL);
	int root = open(spec->alloc_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return errno == ENOENT ? 0 : fault_errno(reterr);
	if (spec->scope == REMOVE_ALLOC) {
		result = remove_entry(root, spec->alloc_id);
	} else {
		int alloc = kernel_open_on_mount(root, spec->alloc_id, O_PATH | O_DIRECTORY | O_NOFOLLOW);
		if (alloc < 0)
			result = errno == ENOENT ? 0 : -1;
		else if (spec->scope == REMOVE_TASK)
			result = remove_entry(alloc, spec->task_name);
		else
			result = remove_trees(alloc, spec->task_name);
	}
	return result < 0 ? fault_errno(reterr) : 0;
}
