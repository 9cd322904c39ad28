/*
 * LINK: a host tree is made again inside the task directory, by hard links where they are
 * possible. A linked file is the host's own inode: its owner and mode are never touched,
 * and the tree is mounted read-only over itself afterwards. What is copied loses setuid,
 * setgid and file capabilities, and its bytes are counted against one cap for the task.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel.h"
#include "remove.h"
#include "sandbox.h"

/* A host's own trees are nowhere near as deep; a loop of bind mounts would be. */
#define DEPTH_MAX 64

struct embedding {
	uint64_t bytes_left; /* that may still be copied */
	bool is_root;
};

static int embed_dir(struct embedding *embedding, int source, int target, const char *name, int depth);

/* Without root, what belongs to others can neither be given to them nor always be read. */
static int give(const struct embedding *embedding, int fd, const struct stat *like)
{
	if (fchown(fd, like->st_uid, like->st_gid) < 0 && embedding->is_root)
		return -1;
	return fchmod(fd, like->st_mode & 01777);
}

static int copy_bytes(struct embedding *embedding, int source, int target)
{
	for (;;) {
		/* One byte more than allowed is asked for, to tell the cap from the end. */
		size_t chunk = 1u << 20;
		if (embedding->bytes_left < chunk)
			chunk = (size_t)embedding->bytes_left + 1;
		ssize_t copied = sendfile(target, source, NULL, chunk);
		if (copied <= 0)
			return (int)copied;
		if ((uint64_t)copied > embedding->bytes_left) {
			errno = EDQUOT;
			return -1;
		}
		embedding->bytes_left -= (uint64_t)copied;
	}
}

static int copy_file(struct embedding *embedding, int source_dir, const char *source_name, int target_dir,
		     const char *name)
{
	struct stat found;
	int copy = -1;
	int result = -1;
	/* O_NONBLOCK: should it have become a fifo meanwhile, nothing waits for a writer. */
	int source = openat(source_dir, source_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (source < 0)
		return errno == EACCES && !embedding->is_root ? 0 : -1;
	if (fstat(source, &found) < 0)
		goto out;
	if (!S_ISREG(found.st_mode)) {
		result = 0;
		goto out;
	}
	copy = kernel_open_beneath(target_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (copy < 0) {
		result = errno == EEXIST ? 0 : -1;
		goto out;
	}
	if (copy_bytes(embedding, source, copy) < 0)
		goto out;
	result = give(embedding, copy, &found);
out:;
	int error = errno;
	close_fd(&copy);
	close_fd(&source);
	errno = error;
	return result;
}

static int embed_file(struct embedding *embedding, int source_dir, const char *source_name, int target_dir,
		      const char *name)
{
	if (linkat(source_dir, source_name, target_dir, name, 0) == 0 || errno == EEXIST)
		return 0;
	if (errno != EXDEV && errno != EMLINK && errno != EPERM)
		return -1;
	return copy_file(embedding, source_dir, source_name, target_dir, name);
}

static int embed_symlink(int source_dir, int target_dir, const char *name)
{
	char link[PATH_MAX];
	ssize_t size = readlinkat(source_dir, name, link, sizeof(link) - 1);
	if (size < 0)
		return -1;
	link[size] = '\0';
	return symlinkat(link, target_dir, name) == 0 || errno == EEXIST ? 0 : -1;
}

static int embed_entry(struct embedding *embedding, int source_dir, int target_dir, const char *name, int depth)
{
	struct stat found;
	if (fstatat(source_dir, name, &found, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -1;
	switch (found.st_mode & S_IFMT) {
	case S_IFREG:
		return embed_file(embedding, source_dir, name, target_dir, name);
	case S_IFLNK:
		return embed_symlink(source_dir, target_dir, name);
	case S_IFDIR: {
		int source = openat(source_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (source < 0)
			return errno == EACCES && !embedding->is_root ? 0 : -1;
		int result = embed_dir(embedding, source, target_dir, name, depth + 1);
		int error = errno;
		close_fd(&source);
		errno = error;
		return result;
	}
	default: /* devices, fifos and sockets stay out */
		return 0;
	}
}

static int embed_entries(struct embedding *embedding, int source, int target, int depth)
{
	char buffer[8192] __attribute__((aligned(8)));
	ssize_t size;
	while ((size = getdents64(source, buffer, sizeof(buffer))) > 0) {
		for (ssize_t at = 0; at < size;) {
			const struct dirent64 *entry = (const struct dirent64 *)(const void *)(buffer + at);
			at += entry->d_reclen;
			if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
				continue;
			if (embed_entry(embedding, source, target, entry->d_name, depth) < 0)
				return -1;
		}
	}
	return size < 0 ? -1 : 0;
}

static int embed_dir(struct embedding *embedding, int source, int target_dir, const char *name, int depth)
{
	struct stat found;
	if (depth > DEPTH_MAX) {
		errno = ELOOP;
		return -1;
	}
	if (fstat(source, &found) < 0)
		return -1;
	if (mkdirat(target_dir, name, 0700) < 0 && errno != EEXIST)
		return -1;
	int target = kernel_open_beneath(target_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (target < 0)
		return -1;
	int result = embed_entries(embedding, source, target, depth);
	if (result == 0)
		result = give(embedding, target, &found);
	int error = errno;
	close_fd(&target);
	errno = error;
	return result;
}

static int embed_mount(struct embedding *embedding, int root, const struct mount_spec *mount)
{
	struct stat found;
	int parent = -1;
	const char *name;
	int result = -1;
	/* The source itself may be a symlink, such as /lib of a merged /usr. */
	int source = open(mount->source, O_PATH | O_CLOEXEC);
	if (source < 0) {
		bool missing = errno == ENOENT || errno == ENOTDIR;
		return missing && (mount->flags & MOUNT_OPTIONAL) != 0 ? 0 : -1;
	}
	const char *target = taskdir_relative(mount->target);
	if (target == NULL) {
		errno = EINVAL;
		goto out;
	}
	if (fstat(source, &found) < 0 || taskdir_open_parent(root, target, &parent, &name) < 0)
		goto out;
	if (S_ISDIR(found.st_mode)) {
		int dir = openat(source, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			goto out;
		result = embed_dir(embedding, dir, parent, name, 0);
		int error = errno;
		close_fd(&dir);
		errno = error;
	} else if (S_ISREG(found.st_mode)) {
		char resolved[PATH_MAX];
		char path[64] = "/proc/self/fd/";
		format_u64((uint64_t)source, path + strlen(path));
		ssize_t size = readlink(path, resolved, sizeof(resolved) - 1);
		if (size < 0)
			goto out;
		resolved[size] = '\0';
		result = embed_file(embedding, AT_FDCWD, resolved, parent, name);
	} else {
		errno = EINVAL;
	}
out:;
	int error = errno;
	close_fd(&parent);
	close_fd(&source);
	errno = error;
	return result;
}

/* Targets may lie in one another, so all leftovers of an earlier run go before anything is made. */
static int remove_leftover(int root, const struct mount_spec *mount)
{
	int parent;
	const char *name;
	const char *target = taskdir_relative(mount->target);
	if (target == NULL) {
		errno = EINVAL;
		return -1;
	}
	if (taskdir_open_parent(root, target, &parent, &name) < 0)
		return -1;
	int result = remove_entry(parent, name);
	int error = errno;
	close_fd(&parent);
	errno = error;
	return result;
}

int embed_trees(const struct sandbox *box, struct fault *reterr)
{
	const struct create_spec *spec = box->spec;
	struct embedding embedding = {
		.bytes_left = spec->link_bytes,
		.is_root = (spec->flags & CREATE_USER_NS) == 0,
	};
	for (uint32_t i = 0; i < spec->mount_count; i++)
		if ((spec->mounts[i].flags & MOUNT_LINK) != 0 && remove_leftover(box->task_dir, &spec->mounts[i]) < 0)
			return fault_at(reterr, i);
	for (uint32_t i = 0; i < spec->mount_count; i++)
		if ((spec->mounts[i].flags & MOUNT_LINK) != 0 &&
		    embed_mount(&embedding, box->task_dir, &spec->mounts[i]) < 0)
			return fault_at(reterr, i);
	return 0;
}
