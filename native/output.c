#define _GNU_SOURCE
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "sys.h"

/* A pipe's default size: one turn moves what a full pipe holds. */
enum { CHUNK = 65536 };

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

bool drain_output(struct output *output)
{
	while (output->pipe >= 0) {
		bool full = output->written >= output->cap;
		ssize_t size = full ? drop(output) : keep(output);

		/* The log cannot take it (ENOSPC, EIO, EDQUOT, EFBIG, …): the task must not block for that.
		 */
		if (size < 0 && !full && errno != EAGAIN && errno != EINTR)
			size = drop(output);
		if (size < 0 && errno == EAGAIN)
			return true;
		if (size < 0 && errno == EINTR)
			continue;
		if (size <= 0)
			close_fd(&output->pipe);
	}
	return false;
}
