#define _GNU_SOURCE
#include "attach.h"

#include <errno.h>

#include "message.h"
#include "sys.h"

bool parse_attach(struct attach *ret_attach, const uint8_t *body, size_t size)
{
	struct reader reader = read_body(body, size);
	struct attach attach;

	attach.init.pid = (pid_t)read_u32(&reader);
	attach.init.start_ticks = read_u64(&reader);
	attach.init_uid = read_u32(&reader);
	attach.command.pid = (pid_t)read_u32(&reader);
	attach.command.start_ticks = read_u64(&reader);
	if (!read_finished(&reader) || attach.init.pid <= 0 || attach.command.pid < 0)
		return false;
	*ret_attach = attach;
	return true;
}

int open_attached(const struct attach *attach, struct attach_pidfds *ret_pidfds)
{
	struct attach_pidfds pidfds = {.init = open_process(&attach->init), .command = -1};

	if (pidfds.init < 0)
		return -1;
	if (attach->command.pid > 0)
		pidfds.command = open_process(&attach->command);
	/* A command that has ended is what init is about to tell of. */
	if (attach->command.pid > 0 && pidfds.command < 0 && errno != ESRCH) {
		close_fd(&pidfds.init);
		return -1;
	}
	*ret_pidfds = pidfds;
	return 0;
}
