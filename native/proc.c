#define _GNU_SOURCE
#include "proc.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "sys.h"

int read_text(int dirfd, const char *path, char *ret_text, size_t size)
{
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	ssize_t bytes = fd < 0 ? -1 : read(fd, ret_text, size - 1);

	close_fd(&fd);
	if (bytes < 0)
		return -1;
	ret_text[bytes] = '\0';
	return 0;
}

const char *stat_field(const char *stat, int field)
{
	/* The name may hold anything: fields are counted from its last bracket, the third is next. */
	const char *next = strrchr(stat, ')');

	for (int at = 2; next && at < field; at++)
		next = strchr(next + 1, ' ');
	return next ? next + 1 : NULL;
}
