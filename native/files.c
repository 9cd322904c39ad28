#define _GNU_SOURCE
#include "files.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys.h"

enum { PATH_SIZE = 4096, NAME_SIZE = 256, TEMPORARY_SIZE = 32 };

#define DIRECTORY_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW)

/* What of the root the task's user may write, and keeps. */
static const char *const bases[] = {"/local", "/alloc/logs", "/alloc/tmp", "/alloc/data"};

/* How much of the path is the base that it lies below; 0: none. */
static size_t base_length(const char *path)
{
	for (size_t i = 0; i < sizeof(bases) / sizeof(*bases); i++) {
		size_t length = strlen(bases[i]);

		if (strncmp(path, bases[i], length) == 0 && path[length] == '/')
			return length;
	}
	return 0;
}

static size_t parent_length(const char *path, size_t length)
{
	while (length > 0 && path[--length] != '/')
		;
	return length;
}

static int copy_part(char *ret_part, size_t room, const char *from, const char *end)
{
	size_t length = (size_t)(end - from);

	if (length == 0 || length >= room) {
		errno = length == 0 ? EINVAL : ENAMETOOLONG;
		return -1;
	}
	memcpy(ret_part, from, length);
	ret_part[length] = '\0';
	return 0;
}

/* The directory that the first `length` bytes of the path name. */
static int open_directory(const char *path, size_t length)
{
	char part[PATH_SIZE];
	size_t base = base_length(path);
	int dir, child;

	if (base == 0 || copy_part(part, sizeof(part), path, path + base) < 0) {
		errno = EINVAL;
		return -1;
	}
	dir = open_real(part, DIRECTORY_FLAGS);
	if (dir < 0 || length <= base)
		return dir;
	child = copy_part(part, sizeof(part), path + base + 1, path + length) < 0
			? -1
			: open_within(dir, part, DIRECTORY_FLAGS);
	close_fd(&dir);
	return child;
}

static int make_and_open(struct file_spec *file, size_t end, int dir, const char *name)
{
	int made = mkdirat(dir, name, 0755);

	if (made < 0 && errno != EEXIST)
		return -1;
	if (made == 0 && file->made == 0)
		file->made = end;
	return open_within(dir, name, DIRECTORY_FLAGS);
}

/* The same of the directory that the file is to be in; what is missing of it is made. */
static int make_directory(struct file_spec *file)
{
	const char *path = file->path;
	size_t at = base_length(path), whole = parent_length(path, strlen(path));
	int dir = open_directory(path, at);

	while (dir >= 0 && at < whole) {
		size_t end = at + 1 + strcspn(path + at + 1, "/");
		char name[NAME_SIZE];
		int child = -1;

		if (copy_part(name, sizeof(name), path + at + 1, path + end) == 0) {
			child = open_within(dir, name, DIRECTORY_FLAGS);
			if (child < 0 && errno == ENOENT)
				child = make_and_open(file, end, dir, name);
		}
		close_fd(&dir);
		dir = child;
		at = end;
	}
	return dir;
}

static const char *name_of(const struct file_spec *file)
{
	return strrchr(file->path, '/') + 1;
}

static void temporary_name(char ret_name[TEMPORARY_SIZE], uint32_t index)
{
	(void)snprintf(ret_name, TEMPORARY_SIZE, ".stockade-%u.new", index);
}

static int write_content(struct file_spec *file, int dir, const char *temporary)
{
	int fd, result;

	/* Of a Configure that was given up, and its command killed. */
	(void)unlinkat(dir, temporary, 0);
	fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	file->staged = true;
	result = write_all(fd, file->content, file->size);
	/* The umask is not asked. */
	if (result == 0)
		result = fchmod(fd, file->mode);
	close_fd(&fd);
	return result;
}

/* What rename would say of it, before anything else has given way: who owns what is there decides in a sticky directory. */
static int check_place(int dir, const char *name)
{
	struct stat there, around;

	if (name[0] == '\0') {
		errno = EINVAL;
		return -1;
	}
	if (fstatat(dir, name, &there, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -1;
	if (S_ISDIR(there.st_mode)) {
		errno = EISDIR;
		return -1;
	}
	if (fstat(dir, &around) < 0)
		return -1;
	if ((around.st_mode & S_ISVTX) && there.st_uid != geteuid() && around.st_uid != geteuid()) {
		errno = EPERM;
		return -1;
	}
	return 0;
}

static int stage(struct file_spec *file, uint32_t index)
{
	char temporary[TEMPORARY_SIZE];
	int dir = make_directory(file);
	int result = -1;

	if (dir < 0)
		return -1;
	temporary_name(temporary, index);
	if (check_place(dir, name_of(file)) == 0)
		result = write_content(file, dir, temporary);
	close_fd(&dir);
	return result;
}

int write_files(const struct spec *spec, struct fault *reterr)
{
	for (uint32_t i = 0; i < spec->file_count; i++) {
		if (stage(&spec->files[i], i) < 0)
			return fail_at(reterr, STEP_WRITE_FILES, i);
	}
	return 0;
}

int place_files(const struct spec *spec, struct fault *reterr)
{
	for (uint32_t i = 0; i < spec->file_count; i++) {
		struct file_spec *file = &spec->files[i];
		int dir = open_directory(file->path, parent_length(file->path, strlen(file->path)));
		char temporary[TEMPORARY_SIZE];

		temporary_name(temporary, i);
		if (dir < 0 || renameat(dir, temporary, dir, name_of(file)) < 0) {
			(void)fail_at(reterr, STEP_PLACE_FILES, i);
			close_fd(&dir);
			return -1;
		}
		close_fd(&dir);
		file->staged = false;
		file->made = 0;
	}
	return 0;
}

/* The deepest first. One that somebody has put something into meanwhile stays. */
static void remove_made(const struct file_spec *file)
{
	size_t length = parent_length(file->path, strlen(file->path));

	while (file->made > 0 && length >= file->made) {
		size_t above = parent_length(file->path, length);
		int dir = open_directory(file->path, above);
		char name[NAME_SIZE];

		if (dir >= 0 &&
		    copy_part(name, sizeof(name), file->path + above + 1, file->path + length) == 0)
			(void)unlinkat(dir, name, AT_REMOVEDIR);
		close_fd(&dir);
		length = above;
	}
}

void discard_files(const struct spec *spec)
{
	int error = errno;

	for (uint32_t i = (uint32_t)spec->file_count; i-- > 0;) {
		struct file_spec *file = &spec->files[i];

		if (file->staged) {
			int dir = open_directory(file->path, parent_length(file->path, strlen(file->path)));
			char temporary[TEMPORARY_SIZE];

			temporary_name(temporary, i);
			if (dir >= 0)
				(void)unlinkat(dir, temporary, 0);
			close_fd(&dir);
		}
		remove_made(file);
	}
	errno = error;
}
