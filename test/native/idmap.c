/* Trying an idmapped mount: what it answers, and that nothing is left of it. */
#define _GNU_SOURCE
#include "idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "try-idmap.h"

/* The lowest descriptor that is free: the same before and after where none is left open. */
static int free_fd(void)
{
	int fd = dup(STDIN_FILENO);

	(void)close(fd);
	return fd;
}

int main(void)
{
	int dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), proc, before;

	proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	before = free_fd();
	check(can_idmap(dir) == (try_idmap("/") == IDMAPPED_ROOT), "it answers what the kernel does");
	check(free_fd() == before, "no descriptor is left");
	check(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "no process is left");
	check(!can_idmap(proc), "mounts of /proc cannot be idmapped");
	check(!can_idmap(-1), "what is no directory cannot");
	check(free_fd() == before, "no descriptor is left when it cannot");
	return tap_end();
}
