#define _GNU_SOURCE
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "sys.h"

enum {
	CHUNK = 65536, /* a pipe's default size */
	BLOCK = 4096,
	/* The oldest goes in steps of a sixteenth of the cap, between these two. */
	STEPS = 16,
	STEP_MOST = 1 << 20,
};

static uint64_t min_of(uint64_t one, uint64_t other)
{
	return one < other ? one : other;
}

static uint64_t round_up(uint64_t offset, uint64_t step)
{
	return (offset + step - 1) / step * step;
}

/* More than its size may say: what a task splices into it is as large as that is. */
static size_t content(const struct output *output)
{
	int bytes;

	return ioctl(output->pipe, FIONREAD, &bytes) < 0 ? CHUNK : (size_t)bytes;
}

/* Of the record nothing new is to be found room for. */
static void note(struct output *output)
{
	(void)write_record(output->record_fd, output->record);
}

/* A file system that cannot make holes loses all that there is; the file's offset stays. */
static void forget_before(struct output *output, uint64_t offset)
{
	uint64_t from = *output->start / BLOCK * BLOCK;

	*output->start = offset;
	note(output);
	if (fallocate(output->log, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
		      (off_t)(offset - from)) == 0)
		return;
	*output->start = *output->end;
	note(output);
	(void)!ftruncate(output->log, 0);
}

static void make_room(struct output *output, uint64_t size)
{
	uint64_t step = min_of(output->cap / STEPS / BLOCK * BLOCK, STEP_MOST);

	if (*output->end - *output->start + size > output->cap)
		forget_before(output, min_of(round_up(*output->end + size - output->cap, step ? step : BLOCK),
					     *output->end));
}

/* > 0: bytes moved; 0: end of file; -1: errno. */
static ssize_t lose(struct output *output)
{
	static char nowhere[CHUNK];
	ssize_t size = read(output->pipe, nowhere, sizeof(nowhere));

	if (size > 0) {
		*output->end += (uint64_t)size;
		*output->start = *output->end;
		note(output);
		(void)lseek(output->log, (off_t)*output->end, SEEK_SET);
	}
	return size;
}

static ssize_t keep(struct output *output)
{
	size_t most = (size_t)min_of(min_of(content(output), CHUNK), output->cap);
	ssize_t size;

	make_room(output, most);
	/* Of an empty pipe it says whether it has ended. */
	size = splice(output->pipe, NULL, output->log, NULL, most ? most : 1,
		      SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (size > 0)
		*output->end += (uint64_t)size;
	return size;
}

size_t move_output(struct output *output)
{
	ssize_t size = keep(output);

	/* A disk without room (ENOSPC, EDQUOT): the older half of what is kept gives way, and what is left of it. */
	while (size < 0 && (errno == ENOSPC || errno == EDQUOT) && *output->start < *output->end) {
		uint64_t middle = *output->start + (*output->end - *output->start) / 2;

		forget_before(output, min_of(round_up(middle + 1, BLOCK), *output->end));
		size = keep(output);
	}
	/* The log cannot take it (the same, EIO, EFBIG, …): the task must not block for that. */
	if (size < 0 && errno != EAGAIN && errno != EINTR)
		size = lose(output);
	if (size > 0)
		return (size_t)size;
	if (size == 0 || (errno != EAGAIN && errno != EINTR))
		close_fd(&output->pipe);
	return 0;
}

/* A pipe that has been read as far as it was full does not say by itself that it has ended. */
static bool has_ended(const struct output *output)
{
	struct pollfd source = {.fd = output->pipe, .events = POLLIN};

	return output->pipe < 0 || (poll(&source, 1, 0) == 1 && source.revents == POLLHUP);
}

bool drain_output(struct output *output)
{
	size_t most, moved = 0, size;

	if (output->pipe < 0)
		return true;
	most = content(output);
	/* Once in any case: an end of file is seen by reading alone. */
	do {
		size = move_output(output);
		moved += size;
	} while (output->pipe >= 0 && size > 0 && moved < most);
	return has_ended(output);
}
