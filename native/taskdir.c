/*
 * The alloc and task directories. A task owns what is below local/, and any task of the
 * alloc what is below alloc/: nothing here follows a link, and everything is reached from
 * the descriptor of the directory above it.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel.h"
#include "sandbox.h"

/* Makes a directory, or takes the one that is there; owner and mode are set either way. */
static int make_dir(int parent, const char *name, uid_t uid, gid_t gid, mode_t mode, int *ret_dir)
{
	struct stat found;
	if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
		return -1;
	int dir = kernel_open_beneath(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (dir < 0)
		return -1;
	if (fstat(dir, &found) < 0)
		goto failed;
	if ((found.st_uid != uid || found.st_gid != gid) && fchown(dir, uid, gid) < 0)
		goto failed;
	if ((found.st_mode & 07777) != mode && fchmod(dir, mode) < 0)
		goto failed;
	*ret_dir = dir;
	return 0;

failed:;
	int error = errno;
	close_fd(&dir);
	errno = error;
	return -1;
}

static int make_and_close(const struct sandbox *box, int parent, const char *name, mode_t mode)
{
	int dir;
	if (make_dir(parent, name, box->owner_uid, box->owner_gid, mode, &dir) < 0)
		return -1;
	close_fd(&dir);
	return 0;
}

static int open_alloc(const struct sandbox *box, int *ret_alloc)
{
	int root = open(box->spec->alloc_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -1;
	int made = make_dir(root, box->spec->alloc_id, box->owner_uid, box->owner_gid, 0755, ret_alloc);
	int error = errno;
	close_fd(&root);
	errno = error;
	return made;
}

int taskdir_make_alloc(struct sandbox *box, struct fault *reterr)
{
	int alloc;
	if (open_alloc(box, &alloc) < 0)
		return fault_errno(reterr);
	if (make_dir(alloc, "alloc", box->owner_uid, box->owner_gid, 0755, &box->shared_dir) < 0 ||
	    make_and_close(box, box->shared_dir, "logs", 01777) < 0 ||
	    make_and_close(box, box->shared_dir, "data", 01777) < 0 ||
	    make_and_close(box, box->shared_dir, "tmp", 01777) < 0 ||
	    make_dir(alloc, box->spec->task_name, box->owner_uid, box->owner_gid, 0755, &box->task_dir) < 0)
		return fault_errno(reterr);
	close_fd(&alloc);
	return 0;
}

int taskdir_make_task(struct sandbox *box, struct fault *reterr)
{
	static const char *const mountpoints[] = {"alloc", "proc", "dev", "tmp"};
	uid_t uid = box->single_id ? box->owner_uid : box->spec->uid;
	gid_t gid = box->single_id ? box->owner_gid : box->spec->gid;

	if (make_dir(box->task_dir, "local", uid, gid, 0700, &box->local_dir) < 0)
		return fault_errno(reterr);
	for (size_t i = 0; i < sizeof(mountpoints) / sizeof(mountpoints[0]); i++)
		if (make_and_close(box, box->task_dir, mountpoints[i], 0755) < 0)
			return fault_errno(reterr);
	return 0;
}

void taskdir_link_logs(const struct sandbox *box)
{
	static const char *const streams[] = {"stdout", "stderr"};
	for (int i = 0; i < 2; i++) {
		char name[NAME_MAX + 1];
		strcpy(name, box->spec->task_name); /* a checked name: at most 128 bytes */
		strcat(name, ".");
		strcat(name, streams[i]);
		/* What the task put there goes, if it is no directory; never followed. */
		(void)unlinkat(box->local_dir, name, 0);
		(void)linkat(box->log_dir, streams[i], box->local_dir, name, 0);
	}
}

const char *taskdir_relative(const char *path)
{
	while (*path == '/')
		path++;
	return *path == '\0' ? NULL : path;
}

int taskdir_open_parent(int root, const char *path, int *ret_parent, const char **ret_name)
{
	int parent = kernel_open_beneath(root, ".", O_PATH | O_DIRECTORY, 0);
	for (;;) {
		char name[NAME_MAX + 1];
		size_t size = strcspn(path, "/");
		const char *next = path + size + strspn(path + size, "/");
		if (parent < 0)
			return -1;
		if (*next == '\0' && path[size] == '\0') {
			*ret_parent = parent;
			*ret_name = path;
			return 0;
		}
		if (size > NAME_MAX) {
			errno = ENAMETOOLONG;
			goto failed;
		}
		memcpy(name, path, size);
		name[size] = '\0';
		if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST && errno != EROFS)
			goto failed;
		/* "..": refused by the kernel, as it leads out of parent. */
		int child = kernel_open_beneath(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
		if (child < 0)
			goto failed;
		close_fd(&parent);
		parent = child;
		path = next;
		if (*next == '\0') { /* a path that ends in a slash: "." is the last part */
			*ret_parent = parent;
			*ret_name = ".";
			return 0;
		}
	}

failed:;
	int error = errno;
	close_fd(&parent);
	errno = error;
	return -1;
}
