#define _GNU_SOURCE
#include "guard.h"

#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

static void await_begin(struct guarded *guarded)
{
	while (!__atomic_load_n(&guarded->begun, __ATOMIC_ACQUIRE))
		(void)syscall(SYS_futex, &guarded->begun, FUTEX_WAIT, 0, NULL, NULL, 0);
}

_Noreturn static void guard(struct guarded *guarded, int command_pidfd)
{
	enum { TIME, COMMAND };
	static const struct timespec patience = {.tv_sec = 1};
	int keep[] = {guarded->limits.timer, guarded->limits.cpu_time_file, command_pidfd};

	/* What it cannot close it holds as init does. */
	(void)close_all_but(keep, sizeof(keep) / sizeof(*keep));
	rename_process("stockade-guard");
	await_begin(guarded);
	for (;;) {
		struct pollfd sources[] = {
			[TIME] = {.fd = guarded->limits.timer, .events = POLLIN},
			[COMMAND] = {.fd = command_pidfd, .events = POLLIN},
		};
		uint32_t overrun;

		(void)poll(sources, 2, -1);
		(void)nanosleep(&patience, NULL);
		if (poll(sources, 2, 0) <= 0)
			continue; /* init has seen to it */
		overrun = sources[TIME].revents ? look_at_time(&guarded->limits) : 0;
		if (overrun)
			__atomic_store_n(&guarded->overrun, overrun, __ATOMIC_RELEASE);
		if (overrun || sources[COMMAND].revents)
			(void)kill(-1, SIGKILL); /* all but init and the guard itself */
	}
}

int start_guard(struct guarded **guarded, int command_pidfd)
{
	struct guarded *shared =
		mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	if (shared == MAP_FAILED)
		return -1;
	*shared = **guarded;
	/* As fork(2), without what glibc does for threads. */
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		guard(shared, command_pidfd);
	if (pid < 0)
		return -1;
	*guarded = shared;
	return 0;
}

void begin_guard(struct guarded *guarded)
{
	__atomic_store_n(&guarded->begun, 1, __ATOMIC_RELEASE);
	(void)syscall(SYS_futex, &guarded->begun, FUTEX_WAKE, 1, NULL, NULL, 0);
}
