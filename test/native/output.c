/* Draining a pipe into a log, at the task's end. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "output.h"
#include "sys.h"
#include "tap.h"

enum { USUAL = 65536, LARGE = 1 << 20, HANGS_AFTER_S = 30 };

/* A pipe of so many bytes, full, and closed at the other end if it is said so; -1: the host gives none. */
static int full_pipe(int size, bool is_closed)
{
	char *text = calloc(1, (size_t)size);
	int ends[2];

	if (!text || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		abort();
	if (fcntl(ends[1], F_SETPIPE_SZ, size) < 0 || write_all(ends[1], text, (size_t)size) < 0)
		close_fd(&ends[0]);
	free(text);
	if (is_closed)
		close_fd(&ends[1]);
	return ends[0];
}

static void test_full(int size, bool is_closed, const char *what)
{
	struct output output = {
		.pipe = full_pipe(size, is_closed), .log = memfd_create("log", MFD_CLOEXEC), .cap = LARGE};

	drain_output(&output);
	check(output.written == (uint64_t)size && lseek(output.log, 0, SEEK_END) == size, what);
	close_fd(&output.pipe);
	close_fd(&output.log);
}

/* What is spliced into a pipe lies there in pieces as large as it came in: it holds more than its size says. */
static void test_spliced(void)
{
	struct output output = {.log = memfd_create("log", MFD_CLOEXEC), .cap = LARGE};
	int large = LARGE, sockets[2], ends[2], held = 0;
	char *text = calloc(1, LARGE);

	if (!text || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) < 0 ||
	    pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		abort();
	(void)setsockopt(sockets[0], SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(large));
	(void)!write(sockets[0], text, LARGE);
	while (splice(sockets[1], NULL, ends[1], NULL, LARGE, SPLICE_F_NONBLOCK) > 0)
		;
	(void)ioctl(ends[0], FIONREAD, &held);
	output.pipe = ends[0];
	drain_output(&output);
	check(held > USUAL && output.written == (uint64_t)held, "more than the pipe's size is drained whole");
	close_fd(&output.pipe);
	close_fd(&output.log);
	close_fd(&ends[1]);
	close_fd(&sockets[0]);
	close_fd(&sockets[1]);
	free(text);
}

/* As a pipe is that somebody outside the task fills as fast as it is read. */
static void test_endless(void)
{
	struct output output = {.pipe = open("/dev/zero", O_RDONLY | O_CLOEXEC), .log = -1};

	(void)alarm(HANGS_AFTER_S);
	drain_output(&output);
	check(output.dropped >= USUAL && output.dropped < LARGE,
	      "what never ends is drained as far as a pipe can hold");
	(void)alarm(0);
	close_fd(&output.pipe);
}

int main(void)
{
	test_full(USUAL, false, "a full pipe is drained whole, though somebody has its other end");
	test_full(LARGE, false, "one that the task has made larger, too");
	test_full(USUAL, true, "and one that is closed");
	test_spliced();
	test_endless();
	return tap_end();
}
