#define _GNU_SOURCE
#include "remove.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol.h"
#include "sys.h"

/*
 * A task can nest directories deeper than any stack or descriptor table: what lies deeper
 * than this is moved up into the directory that is being emptied, which is then read again.
 */
enum { LEVELS = 32, FRESH_NAME_SIZE = 48, FD_PATH_SIZE = 32 };

struct emptying {
	int top;
	unsigned int moved;
};

static int empty_directory(struct emptying *emptying, int dir, const char *keep, int level);

/* Who is not root is kept out by the modes that a task has left: they are its own to change. */
static int open_to_empty(int dir, const char *name)
{
	if (geteuid() != 0) {
		char path[FD_PATH_SIZE];
		int place = open_within(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);

		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", place);
		if (place < 0 || chmod(path, S_IRWXU) < 0) {
			close_fd(&place);
			return -1;
		}
		close_fd(&place);
	}
	return open_within(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

static int remove_directory(struct emptying *emptying, int dir, const char *name, int level)
{
	int child, result;

	if (level > LEVELS) {
		char fresh[FRESH_NAME_SIZE];

		(void)snprintf(fresh, sizeof(fresh), ".removing-%d-%u", getpid(), emptying->moved++);
		return renameat(dir, name, emptying->top, fresh);
	}
	child = open_to_empty(dir, name);
	if (child < 0)
		return -1;
	result = empty_directory(emptying, child, NULL, level);
	close_fd(&child);
	return result < 0 ? -1 : unlinkat(dir, name, AT_REMOVEDIR);
}

static bool is_kept(const char *name, const char *keep)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || (keep && strcmp(name, keep) == 0);
}

/* NULL: there is no more, or result is -1. */
static const struct dirent *next_entry(DIR *entries, int *result)
{
	const struct dirent *entry;

	errno = 0;
	entry = readdir(entries);
	if (!entry && errno != 0)
		*result = -1;
	return entry;
}

static int empty_directory(struct emptying *emptying, int dir, const char *keep, int level)
{
	int copy = fcntl(dir, F_DUPFD_CLOEXEC, 0);
	DIR *entries = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;
	int result = 0, error;

	if (!entries) {
		close_fd(&copy);
		return -1;
	}
	while (result == 0 && (entry = next_entry(entries, &result))) {
		if (is_kept(entry->d_name, keep))
			continue;
		/* Linux: EISDIR for a directory; some file systems say EPERM, as POSIX does. */
		if (unlinkat(dir, entry->d_name, 0) < 0 && errno != ENOENT) {
			if (errno != EISDIR && errno != EPERM)
				result = -1;
			else
				result = remove_directory(emptying, dir, entry->d_name, level + 1);
		}
	}
	error = errno;
	(void)closedir(entries);
	errno = error;
	return result;
}

/* Reads again as long as deep directories have been moved into it. */
static int empty_top(int dir, const char *keep)
{
	struct emptying emptying = {.top = dir};
	unsigned int before;

	do {
		before = emptying.moved;
		if (lseek(dir, 0, SEEK_SET) < 0 || empty_directory(&emptying, dir, keep, 0) < 0)
			return -1;
	} while (emptying.moved != before);
	return 0;
}

int remove_entry(int dir, const char *name)
{
	int child, result;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	child = open_to_empty(dir, name);
	if (child < 0)
		return -1;
	result = empty_top(child, NULL);
	close_fd(&child);
	return result < 0 ? -1 : unlinkat(dir, name, AT_REMOVEDIR);
}

static int remove_trees(int alloc, const char *task_name)
{
	int task = open_within(alloc, task_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	int result = task < 0 ? -1 : empty_top(task, "local");

	close_fd(&task);
	return result;
}

static int remove_below(int root, uint32_t scope, const char *alloc_id, const char *task_name)
{
	int alloc, result;

	if (scope == REMOVE_ALLOC)
		return remove_entry(root, alloc_id);
	alloc = open_within(root, alloc_id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (alloc < 0)
		return -1;
	result = scope == REMOVE_TASK ? remove_entry(alloc, task_name) : remove_trees(alloc, task_name);
	close_fd(&alloc);
	return result;
}

int remove_scope(uint32_t scope, const char *alloc_root, const char *alloc_id, const char *task_name,
		 struct fault *reterr)
{
	int root = open(alloc_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = root < 0 ? -1 : remove_below(root, scope, alloc_id, task_name);

	if (result < 0 && errno == ENOENT)
		result = 0; /* what is not there need not go */
	if (result < 0)
		(void)fail(reterr, STEP_REMOVE_TREES);
	close_fd(&root);
	return result;
}
