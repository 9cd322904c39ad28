#define _GNU_SOURCE
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "sys.h"

/* A pipe's default size. */
enum { CHUNK = 65536 };

/* The task may have made it larger. */
static size_t capacity(const struct output *output)
{
	int bytes = fcntl(output->pipe, F_GETPIPE_SZ);

	return bytes < 0 ? CHUNK : (size_t)bytes;
}

/* > 0: bytes moved; 0: end of file; -1: errno. */
static ssize_t drop(struct output *output)
{
	static char nowhere[CHUNK];
	ssize_t size = read(output->pipe, nowhere, sizeof(nowhere));

	if (size > 0)
		output->dropped += (uint64_t)size;
	return size;
}

static ssize_t keep(struct output *output)
{
	uint64_t room = output->cap - output->written;
	size_t most = room < CHUNK ? (size_t)room : CHUNK;
	ssize_t size = splice(output->pipe, NULL, output->log, NULL, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (size > 0)
		output->written += (uint64_t)size;
	return size;
}

size_t move_output(struct output *output)
{
	bool full = output->written >= output->cap;
	ssize_t size = full ? drop(output) : keep(output);

	/* The log cannot take it (ENOSPC, EIO, EDQUOT, EFBIG, …): the task must not block for that. */
	if (size < 0 && !full && errno != EAGAIN && errno != EINTR)
		size = drop(output);
	if (size > 0)
		return (size_t)size;
	if (size == 0 || (errno != EAGAIN && errno != EINTR))
		close_fd(&output->pipe);
	return 0;
}

void drain_output(struct output *output)
{
	size_t most = output->pipe < 0 ? 0 : capacity(output);
	size_t moved = 0;

	for (size_t size = 1; output->pipe >= 0 && size > 0 && moved < most; moved += size)
		size = move_output(output);
}
