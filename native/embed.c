#define _GNU_SOURCE
#include "embed.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol.h"
#include "remove.h"
#include "sys.h"
#include "taskdir.h"

/* Deeper trees than a path can name are refused. */
enum { DEPTH_MAX = 256, DIRENTS_SIZE = 32768, LINK_SIZE = 4096 };

struct dirent64 {
	uint64_t inode;
	int64_t offset;
	uint16_t size;
	uint8_t type;
	char name[];
};

ssize_t getdents64(int fd, void *buffer, size_t size);

struct embedding {
	uint64_t room;	 /* bytes that may still be copied */
	struct stat own; /* of the directory that the trees are made in */
};

static int embed_entry(struct embedding *embedding, int from, const char *name, int to, const char *to_name,
		       int depth);

/* Owner and mode of the source, less what would give more rights than the reader has. */
static int copy_attributes(int fd, const struct stat *status)
{
	mode_t mode = status->st_mode & 07777 & ~(mode_t)(S_ISUID | S_ISGID);

	/* In a user namespace other owners cannot be given: the daemon's user keeps them. */
	if (fchown(fd, status->st_uid, status->st_gid) < 0 && errno != EPERM && errno != EINVAL)
		return -1;
	return fchmod(fd, mode);
}

static int copy_file(struct embedding *embedding, int from, const char *name, int to, const char *to_name,
		     const struct stat *status)
{
	int source = open_beneath(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	int copy = -1, result = -1;
	off_t left = status->st_size;

	if (source < 0)
		return errno == EACCES ? 0 : -1; /* as with directories */
	if ((uint64_t)status->st_size > embedding->room) {
		errno = EDQUOT;
		goto done;
	}
	copy = openat(to, to_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (copy < 0)
		goto done;
	while (left > 0) {
		ssize_t size = sendfile(copy, source, NULL, (size_t)left);

		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0)
			goto done;
		if (size == 0)
			break; /* it has shrunk meanwhile */
		left -= size;
	}
	embedding->room -= (uint64_t)status->st_size;
	result = copy_attributes(copy, status);
done:
	close_fd(&source);
	close_fd(&copy);
	return result;
}

/* The host's own inode where it can be had; a linked file is never chowned or chmodded. */
static int embed_file(struct embedding *embedding, int from, const char *name, int to, const char *to_name,
		      const struct stat *status)
{
	if (linkat(from, name, to, to_name, 0) == 0)
		return 0;
	if (errno != EXDEV && errno != EMLINK && errno != EPERM)
		return -1;
	return copy_file(embedding, from, name, to, to_name, status);
}

static int embed_symlink(int from, const char *name, int to, const char *to_name)
{
	char target[LINK_SIZE];
	ssize_t size = readlinkat(from, name, target, sizeof(target) - 1);

	if (size < 0)
		return -1;
	target[size] = '\0';
	return symlinkat(target, to, to_name);
}

static int embed_children(struct embedding *embedding, int from, int to, int depth)
{
	/* On the heap: one buffer a level. */
	char *buffer = malloc(DIRENTS_SIZE);
	ssize_t size = -1;

	while (buffer && (size = getdents64(from, buffer, DIRENTS_SIZE)) > 0) {
		for (ssize_t at = 0; at < size;) {
			const struct dirent64 *entry = (const struct dirent64 *)(const void *)(buffer + at);

			at += entry->size;
			if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0)
				continue;
			if (embed_entry(embedding, from, entry->name, to, entry->name, depth + 1) < 0) {
				free(buffer);
				return -1;
			}
		}
	}
	free(buffer);
	return size == 0 ? 0 : -1;
}

static int embed_directory(struct embedding *embedding, int from, const char *name, int to,
			   const char *to_name, const struct stat *status, int depth)
{
	const bool is_own =
		status->st_dev == embedding->own.st_dev && status->st_ino == embedding->own.st_ino;
	int source, copy = -1, result = -1;

	/* What is made in it would be found in it. The daemon refuses the paths that it knows it by. */
	if (is_own || depth > DEPTH_MAX) {
		errno = ELOOP;
		return -1;
	}
	source = open_beneath(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (source < 0)
		return errno == EACCES ? 0
				       : -1; /* a plain user cannot read all: what is not seen is not there */
	copy = make_dir_at(to, to_name, 0755);
	if (copy >= 0 && embed_children(embedding, source, copy, depth) == 0)
		result = copy_attributes(copy, status);
	close_fd(&source);
	close_fd(&copy);
	return result;
}

static int embed_entry(struct embedding *embedding, int from, const char *name, int to, const char *to_name,
		       int depth)
{
	struct stat status;

	if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -1; /* it went while we looked */
	switch (status.st_mode & S_IFMT) {
	case S_IFDIR:
		return embed_directory(embedding, from, name, to, to_name, &status, depth);
	case S_IFREG:
		return embed_file(embedding, from, name, to, to_name, &status);
	case S_IFLNK:
		return embed_symlink(from, name, to, to_name);
	default:
		return 0; /* devices, fifos and sockets are not embedded */
	}
}

/* The last component of an absolute path, and its directory below root, made if need be. */
static int open_parent(int root, const char *path, const char **ret_name)
{
	char parent[PATH_MAX];
	const char *last = strrchr(path, '/');
	size_t length = (size_t)(last - path);

	*ret_name = last + 1;
	if (length == 0)
		return fcntl(root, F_DUPFD_CLOEXEC, 0);
	if (length >= sizeof(parent)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(parent, path, length);
	parent[length] = '\0';
	return make_mount_point(root, parent, true);
}

/* The directory of an absolute path of the host, and the path's last component. */
static int open_source_parent(const char *source, const char **ret_name)
{
	char parent[PATH_MAX];
	size_t length = (size_t)(strrchr(source, '/') - source);

	*ret_name = source + length + 1;
	if (length >= sizeof(parent)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(parent, source, length);
	parent[length] = '\0';
	return open_real(length == 0 ? "/" : parent, O_RDONLY | O_DIRECTORY);
}

/* Whether it is the directory or lies below it, by whole components. */
static bool is_within(const char *path, const char *directory)
{
	size_t length = strlen(directory);

	return strncmp(path, directory, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static int embed_mount(struct embedding *embedding, const struct mount_spec *mount, int task_dir)
{
	const char *name, *source_name;
	int from = open_source_parent(mount->source, &source_name);
	int to = -1, result = -1;

	/* What is the task's own is no place: it would be taken away first. */
	if (is_within(mount->target, "/local")) {
		close_fd(&from);
		errno = EINVAL;
		return -1;
	}
	if (from < 0)
		return (errno == ENOENT || errno == ENOTDIR) && (mount->flags & MOUNT_OPTIONAL) ? 0 : -1;
	to = open_parent(task_dir, mount->target, &name);
	if (to >= 0 && remove_entry(to, name) == 0)
		result = embed_entry(embedding, from, source_name, to, name, 0);
	close_fd(&from);
	close_fd(&to);
	return result;
}

int embed_trees(const struct spec *spec, int task_dir, struct fault *reterr)
{
	struct embedding embedding = {.room = spec->link_bytes};

	if (fstat(task_dir, &embedding.own) < 0)
		return fail_at(reterr, STEP_EMBED_TREES, 0);
	for (uint32_t i = 0; i < spec->mount_count; i++) {
		if ((spec->mounts[i].flags & MOUNT_LINK) &&
		    embed_mount(&embedding, &spec->mounts[i], task_dir) < 0)
			return fail_at(reterr, STEP_EMBED_TREES, i);
	}
	return 0;
}
