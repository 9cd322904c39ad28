#define _GNU_SOURCE
#include "taskdir.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys.h"

enum { NAME_SIZE = 256 };

/* Tasks of one alloc may have different users: all may write, none may take away another's. */
#define SHARED_MODE 01777
#define PRIVATE_MODE 0700
#define SYSTEM_MODE 0755

const char *const shared_names[SHARED_COUNT] = {"logs", "tmp", "data"};

int make_dir_at(int parent, const char *name, mode_t mode)
{
	if (mkdirat(parent, name, mode) < 0 && errno != EEXIST)
		return -1;
	return open_beneath(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

static int own(int dir, const struct stat *status, uid_t uid, gid_t gid, mode_t mode)
{
	if ((status->st_uid != uid || status->st_gid != gid) && fchown(dir, uid, gid) < 0)
		return -1;
	return (status->st_mode & 07777) != mode ? fchmod(dir, mode) : 0;
}

/* As make_dir_at, with owner and mode by descriptor, whatever was there before. */
static int make_owned(int parent, const char *name, uid_t uid, gid_t gid, mode_t mode)
{
	int dir = make_dir_at(parent, name, mode);
	struct stat status;

	if (dir >= 0 && (fstat(dir, &status) < 0 || own(dir, &status, uid, gid, mode) < 0))
		close_fd(&dir);
	return dir;
}

int make_alloc_dir(const struct spec *spec, struct task_dirs *dirs, struct fault *reterr)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();

	dirs->alloc_root = open(spec->alloc_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirs->alloc_root < 0)
		return fail(reterr, STEP_MAKE_ALLOC_DIR);
	dirs->alloc = make_owned(dirs->alloc_root, spec->alloc_id, uid, gid, SYSTEM_MODE);
	if (dirs->alloc < 0)
		return fail(reterr, STEP_MAKE_ALLOC_DIR);
	dirs->shared = make_owned(dirs->alloc, "alloc", uid, gid, SYSTEM_MODE);
	if (dirs->shared < 0)
		return fail(reterr, STEP_MAKE_ALLOC_DIR);
	for (size_t i = 0; i < SHARED_COUNT; i++) {
		int dir = make_owned(dirs->shared, shared_names[i], uid, gid, SHARED_MODE);

		if (dir < 0)
			return fail(reterr, STEP_MAKE_ALLOC_DIR);
		close_fd(&dir);
	}
	return 0;
}

int make_task_dir(const struct spec *spec, struct task_dirs *dirs, struct fault *reterr)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();

	dirs->task = make_owned(dirs->alloc, spec->task_name, uid, gid, SYSTEM_MODE);
	if (dirs->task < 0)
		return fail(reterr, STEP_MAKE_TASK_DIR);
	dirs->local = make_dir_at(dirs->task, "local", PRIVATE_MODE);
	if (dirs->local < 0)
		return fail(reterr, STEP_MAKE_TASK_DIR);
	return 0;
}

int give_local(const struct spec *spec, struct task_dirs *dirs, struct fault *reterr)
{
	if (fstat(dirs->local, &dirs->earlier) < 0)
		return fail(reterr, STEP_GIVE_LOCAL);
	dirs->given = true;
	if (own(dirs->local, &dirs->earlier, spec->uid, spec->gid, PRIVATE_MODE) < 0)
		return fail(reterr, STEP_GIVE_LOCAL);
	return 0;
}

void take_local_back(struct task_dirs *dirs)
{
	struct stat given;

	if (dirs->given && dirs->local >= 0 && fstat(dirs->local, &given) == 0)
		(void)own(dirs->local, &given, dirs->earlier.st_uid, dirs->earlier.st_gid,
			  dirs->earlier.st_mode & 07777);
}

void link_logs(const struct spec *spec, const struct task_dirs *dirs, int record_dir)
{
	static const char *const streams[] = {"stdout", "stderr"};

	for (size_t i = 0; i < 2; i++) {
		char log[NAME_SIZE], name[NAME_SIZE];

		(void)snprintf(log, sizeof(log), "log/%s", streams[i]);
		(void)snprintf(name, sizeof(name), "%.200s.%s", spec->task_name, streams[i]);
		/* What an earlier run's task has put there goes, or stays if it is a directory. */
		(void)unlinkat(dirs->local, name, 0);
		if (linkat(record_dir, log, dirs->local, name, 0) < 0)
			continue; /* another file system: the log is where it is */
	}
}

void close_outer_dirs(struct task_dirs *dirs)
{
	close_fd(&dirs->alloc_root);
	close_fd(&dirs->alloc);
	close_fd(&dirs->shared);
	close_fd(&dirs->task);
}

void close_task_dirs(struct task_dirs *dirs)
{
	close_outer_dirs(dirs);
	close_fd(&dirs->local);
}

static int make_file_at(int parent, const char *name)
{
	int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);

	if (fd < 0)
		return -1;
	close_fd(&fd);
	return 0;
}

/*
 * One step of the way to a mount point. What is missing is made as long as the way is in the root's own file system,
 * and not beyond: what is mounted in it is the host's, or one that others see.
 */
static int open_step(int parent, const char *name, bool is_directory, bool *ret_in_root)
{
	int flags = O_PATH | O_NOFOLLOW | (is_directory ? O_DIRECTORY : 0);
	int step;

	if (*ret_in_root) {
		int made = is_directory ? mkdirat(parent, name, SYSTEM_MODE) : make_file_at(parent, name);

		if (made < 0 && errno != EEXIST)
			return -1;
		step = open_within(parent, name, flags);
		if (step >= 0 || errno != EXDEV)
			return step;
		*ret_in_root = false;
	}
	step = open_beneath(parent, name, flags);
	if (step < 0 && errno == ENOENT)
		errno = EXDEV;
	return step;
}

int make_mount_point(int root, const char *path, bool is_directory)
{
	char name[NAME_SIZE];
	int parent = fcntl(root, F_DUPFD_CLOEXEC, 0);
	bool in_root = true;

	while (parent >= 0) {
		const char *end;
		bool last;
		int child;

		path += strspn(path, "/");
		end = strchrnul(path, '/');
		last = end[strspn(end, "/")] == '\0';
		if (end == path || (size_t)(end - path) >= sizeof(name)) {
			errno = end == path ? EINVAL : ENAMETOOLONG;
			close_fd(&parent);
			return -1;
		}
		memcpy(name, path, (size_t)(end - path));
		name[end - path] = '\0';
		child = open_step(parent, name, !last || is_directory, &in_root);
		close_fd(&parent);
		if (last)
			return child;
		parent = child;
		path = end;
	}
	return -1;
}
