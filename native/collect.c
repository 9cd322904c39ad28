#define _GNU_SOURCE
#include "collect.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "credentials.h"
#include "message.h"
#include "spec.h"
#include "sys.h"

/* How long one of the steps may take, of which each moves CHUNK_SIZE bytes at most: a disk that answers is faster. */
enum { COLLECT_PATIENCE_S = 30, CHUNK_SIZE = 4 << 20, FD_PATH_SIZE = 32 };

/* What a task's directories look like from outside. */
struct places {
	int alloc;
	int local;
	uid_t uid; /* whom /local was given to */
	gid_t gid;
};

bool parse_collect(struct collect *ret_collect, const uint8_t *body, size_t size)
{
	struct reader reader = read_body(body, size);
	struct collect collect;

	collect.alloc_root = read_string(&reader);
	collect.alloc_id = read_string(&reader);
	collect.task_name = read_string(&reader);
	collect.path = read_string(&reader);
	collect.max_bytes = read_u64(&reader);
	collect.into = read_string(&reader);
	*ret_collect = collect;
	return read_finished(&reader) && collect.alloc_root[0] == '/' && is_name(collect.alloc_id) &&
	       is_name(collect.task_name) && collect.path[0] == '/' && collect.into[0] == '/' &&
	       collect.max_bytes <= INT64_MAX;
}

static int open_places(const struct collect *collect, struct places *ret_places)
{
	int root = open(collect->alloc_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int alloc = root < 0 ? -1 : open_within(root, collect->alloc_id, O_PATH | O_DIRECTORY | O_NOFOLLOW);
	int task = alloc < 0 ? -1 : open_within(alloc, collect->task_name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
	int local = task < 0 ? -1 : open_within(task, "local", O_PATH | O_DIRECTORY | O_NOFOLLOW);
	struct stat status;

	close_fd(&root);
	close_fd(&task);
	if (local < 0 || fstat(local, &status) < 0) {
		close_fd(&alloc);
		close_fd(&local);
		return -1;
	}
	*ret_places =
		(struct places){.alloc = alloc, .local = local, .uid = status.st_uid, .gid = status.st_gid};
	return 0;
}

/* What of the path lies below the directory of the root that it begins with, and that directory. */
static int open_base(const struct places *places, const char *path, const char **ret_rest)
{
	static const char local[] = "/local/", shared[] = "/alloc/";

	if (strncmp(path, local, strlen(local)) == 0) {
		*ret_rest = path + strlen(local);
		return fcntl(places->local, F_DUPFD_CLOEXEC, 0);
	}
	if (strncmp(path, shared, strlen(shared)) == 0) {
		*ret_rest = path + strlen(shared);
		return open_within(places->alloc, "alloc", O_PATH | O_DIRECTORY | O_NOFOLLOW);
	}
	errno = EINVAL;
	return -1;
}

/*
 * For what is opened from here on; the process itself stays whose it is. /local that nobody was given to yet is
 * nobody's to read from. Who may not leave his groups has them in common with his tasks.
 */
static int read_as(const struct places *places)
{
	if (places->uid == 0) {
		errno = EACCES;
		return -1;
	}
	if (syscall(SYS_setgroups, 0, NULL) < 0 && !(errno == EPERM && places->uid == geteuid()))
		return -1;
	(void)setfsgid(places->gid);
	(void)setfsuid(places->uid);
	/* They say nothing of a failure. */
	if ((gid_t)setfsgid((gid_t)-1) != places->gid || (uid_t)setfsuid((uid_t)-1) != places->uid) {
		errno = EPERM;
		return -1;
	}
	return 0;
}

static void read_as_oneself(void)
{
	(void)setfsuid(geteuid());
	(void)setfsgid(getegid());
}

/*
 * First to see what it is, which disturbs neither a device nor who waits at a fifo; then to read. A lease that a task
 * holds on it is not waited for: EAGAIN.
 */
static int open_regular(int base, const char *path)
{
	int place = open_within(base, path, O_PATH | O_NOFOLLOW);
	char link[FD_PATH_SIZE];
	struct stat status;
	int fd = -1;

	if (place < 0 || fstat(place, &status) < 0) {
		close_fd(&place);
		return -1;
	}
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", place);
	if (S_ISREG(status.st_mode))
		fd = open(link, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	else if (S_ISLNK(status.st_mode))
		errno = ELOOP;
	else
		errno = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
	close_fd(&place);
	return fd;
}

static int open_as_user(const struct collect *collect)
{
	struct places places;
	const char *rest;
	int base, fd = -1, error;

	if (open_places(collect, &places) < 0)
		return -1;
	base = open_base(&places, collect->path, &rest);
	if (base >= 0 && read_as(&places) == 0 && clear_capabilities() == 0)
		fd = open_regular(base, rest);
	error = errno;
	read_as_oneself();
	close_fd(&base);
	close_fd(&places.alloc);
	close_fd(&places.local);
	/* Forgotten as users change. */
	if (fd >= 0 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) {
		close_fd(&fd);
		return -1;
	}
	errno = error;
	return fd;
}

/* Whether the kernel, or the file systems, cannot do it in this way. */
static bool is_unable(int error)
{
	return error == EXDEV || error == EINVAL || error == EOPNOTSUPP || error == ENOSYS || error == EPERM;
}

/* -1, or how many bytes more; 0 at the end of the file. */
static ssize_t copy_chunk(int source, int copy, size_t size, bool *shares)
{
	ssize_t copied = -1;

	(void)alarm(COLLECT_PATIENCE_S);
	if (*shares) {
		copied = copy_file_range(source, NULL, copy, NULL, size, 0);
		if (copied >= 0 || !is_unable(errno))
			return copied;
		*shares = false;
	}
	return sendfile(copy, source, NULL, size);
}

static int copy(int source, int into, const struct collect *collect, struct collected *ret_collected)
{
	uint64_t left = collect->max_bytes;
	bool shares = true;
	struct stat status;

	while (left > 0) {
		ssize_t size =
			copy_chunk(source, into, left < CHUNK_SIZE ? (size_t)left : CHUNK_SIZE, &shares);

		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0)
			return -1;
		if (size == 0)
			break;
		left -= (uint64_t)size;
	}
	/* Of one that has changed meanwhile: as it is when all has been copied. */
	if (fstat(source, &status) < 0)
		return -1;
	*ret_collected = (struct collected){
		.size = collect->max_bytes - left,
		.mode = status.st_mode & 0777,
		.truncated = left == 0 && (uint64_t)status.st_size > collect->max_bytes,
	};
	if (ret_collected->truncated)
		ret_collected->size = (uint64_t)status.st_size;
	return 0;
}

int collect_file(const struct collect *collect, struct collected *ret_collected, struct fault *reterr)
{
	int source, into, result;

	(void)alarm(COLLECT_PATIENCE_S);
	source = open_as_user(collect);
	if (source < 0)
		return fail(reterr, STEP_OPEN_COLLECTED);
	/* An earlier launcher's worker may have begun it. */
	(void)unlink(collect->into);
	into = open(collect->into, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	result = into < 0 ? -1 : copy(source, into, collect, ret_collected);
	if (result < 0) {
		(void)fail(reterr, STEP_COPY_COLLECTED);
		if (into >= 0)
			(void)unlink(collect->into);
	}
	close_fd(&source);
	close_fd(&into);
	return result;
}
