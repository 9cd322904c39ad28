#define _GNU_SOURCE
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "sys.h"

/* A pipe's default size. */
enum { CHUNK = 65536 };

/* More than its size may say: what a task splices into it is as large as that is. */
static size_t content(const struct output *output)
{
	int bytes;

	return ioctl(output->pipe, FIONREAD, &bytes) < 0 ? CHUNK : (size_t)bytes;
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
	size_t most, moved = 0, size;

	if (output->pipe < 0)
		return;
	most = content(output);
	/* Once in any case: an end of file is seen by reading alone. */
	do {
		size = move_output(output);
		moved += size;
	} while (output->pipe >= 0 && size > 0 && moved < most);
}
