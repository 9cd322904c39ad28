#define _GNU_SOURCE
#include "time-limits.h"

#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "exit-record.h"
#include "sys.h"

enum { NS_PER_US = 1000, NS_PER_S = 1000000000 };

/*
 * CLOCK_BOOTTIME, which nobody can set, and which goes on while the host is suspended. Setting a timer takes back that it
 * has expired: one that could not be set is looked at again at once.
 */
static int set_timer(const struct time_limits *limits, uint64_t at_ns)
{
	struct itimerspec at = {
		.it_value = {.tv_sec = (time_t)(at_ns / NS_PER_S), .tv_nsec = (long)(at_ns % NS_PER_S)},
	};

	return timerfd_settime(limits->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

/* Those that are still to be plugged in too. Found in /sys, which init does not see for long. */
uint64_t host_cpus(void)
{
	static uint64_t cpus;

	if (cpus == 0) {
		long found = sysconf(_SC_NPROCESSORS_CONF);

		cpus = found > 0 ? (uint64_t)found : 1;
	}
	return cpus;
}

int make_time_limits(const struct spec *spec, int cpu_time_file, struct time_limits *ret_limits,
		     struct fault *reterr)
{
	struct time_limits limits = NO_TIME_LIMITS;

	*ret_limits = limits;
	if (spec->timeout_ns == 0 && spec->cpu_time_ns == 0)
		return 0;
	limits.cpu_time_file = cpu_time_file;
	limits.timeout_ns = spec->timeout_ns;
	limits.cpu_time_ns = spec->cpu_time_ns;
	limits.cpus = host_cpus();
	limits.pause_ns = LOOK_SHORTEST_NS;
	limits.timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (limits.timer < 0 || set_timer(&limits, 1) < 0) {
		(void)fail(reterr, STEP_SET_TIMER);
		close_fd(&limits.timer);
		return -1;
	}
	*ret_limits = limits;
	return 0;
}

void start_time(struct time_limits *limits)
{
	limits->deadline_ns =
		limits->timeout_ns > 0 ? now_ns(CLOCK_BOOTTIME) + limits->timeout_ns : UINT64_MAX;
}

/* "usage_usec 12\n…", or "12345\n" of nanoseconds. */
int read_cpu_time(int file, uint64_t *ret_ns)
{
	static const char v2[] = "usage_usec ";
	char text[64], *end;
	ssize_t size = pread(file, text, sizeof(text) - 1, 0);
	bool is_v2;
	const char *number;
	uint64_t count;

	if (size < 0)
		return -1;
	text[size] = '\0';
	is_v2 = strncmp(text, v2, sizeof(v2) - 1) == 0;
	number = is_v2 ? text + sizeof(v2) - 1 : text;
	count = strtoull(number, &end, 10);
	if (number[0] < '0' || number[0] > '9' || *end != '\n') {
		errno = EBADMSG;
		return -1;
	}
	*ret_ns = is_v2 ? count * NS_PER_US : count;
	return 0;
}

/*
 * On all CPUs at once it cannot be used up sooner. A task that has used nothing meanwhile is looked at less and less
 * often: close to its limit and idle, it would have init wake a hundred times a second for ever.
 */
uint64_t next_look(struct time_limits *limits, uint64_t used_ns)
{
	uint64_t soonest;

	if (used_ns >= limits->cpu_time_ns)
		return 0;
	if (used_ns > limits->used_ns)
		limits->pause_ns = LOOK_SHORTEST_NS;
	else if (limits->pause_ns < LOOK_LONGEST_NS / 2)
		limits->pause_ns *= 2;
	else
		limits->pause_ns = LOOK_LONGEST_NS;
	limits->used_ns = used_ns;
	soonest = (limits->cpu_time_ns - used_ns) / limits->cpus;
	return soonest > limits->pause_ns ? soonest : limits->pause_ns;
}

uint32_t look_at_time(struct time_limits *limits)
{
	uint64_t now = now_ns(CLOCK_BOOTTIME);
	uint64_t next = limits->deadline_ns;

	if (now >= limits->deadline_ns)
		return EXIT_TIMED_OUT;
	if (limits->cpu_time_ns > 0) {
		uint64_t used = limits->used_ns, wait;

		/* What the kernel cannot say for once is as it was. */
		(void)read_cpu_time(limits->cpu_time_file, &used);
		wait = next_look(limits, used);
		if (wait == 0)
			return EXIT_CPU_TIME;
		if (wait < next - now)
			next = now + wait;
	}
	(void)set_timer(limits, next);
	return 0;
}
