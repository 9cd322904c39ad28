/* When a limit of time is looked at, what is read of the kernel's counters, and what a real timer then says. */
#define _GNU_SOURCE
#include "time-limits.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "exit-record.h"
#include "protocol.h"
#include "sys.h"
#include "tap.h"

#define MS 1000000ull

static int file_of(const char *text)
{
	int file = memfd_create("counter", MFD_CLOEXEC);

	if (file < 0 || write_all(file, text, strlen(text)) < 0)
		abort();
	return file;
}

static bool reads(const char *text, uint64_t expected_ns)
{
	int file = file_of(text);
	uint64_t first = 0, again = 0;
	bool read_both = read_cpu_time(file, &first) == 0 && read_cpu_time(file, &again) == 0;

	close_fd(&file);
	return read_both && first == expected_ns && again == expected_ns;
}

static bool refuses(const char *text)
{
	int file = file_of(text);
	uint64_t used = 7;
	bool refused = read_cpu_time(file, &used) < 0 && errno == EBADMSG && used == 7;

	close_fd(&file);
	return refused;
}

static void test_counters(void)
{
	uint64_t used = 7;

	check(reads("usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\n", 1234567000u),
	      "cpu.stat of v2 is in microseconds, and read from its beginning each time");
	check(reads("1234567890123\n", 1234567890123u), "cpuacct.usage of v1 is in nanoseconds");
	check(reads("0\n", 0), "a task that has used nothing yet is read");
	check(refuses("") && refuses("\n") && refuses("-1\n") && refuses("usage_usec \n") &&
		      refuses("user_usec 1\n") && refuses("12"),
	      "what is no counter is refused, and changes nothing");
	check(read_cpu_time(-1, &used) < 0 && used == 7, "what cannot be read changes nothing");
}

static struct time_limits limits_of(uint64_t cpu_time_ns, uint64_t cpus)
{
	struct time_limits limits = NO_TIME_LIMITS;

	limits.cpu_time_ns = cpu_time_ns;
	limits.cpus = cpus;
	limits.pause_ns = LOOK_SHORTEST_NS;
	return limits;
}

static void test_looks(void)
{
	struct time_limits limits = limits_of(1000 * MS, 4);
	bool grows = true;

	check(next_look(&limits, 200 * MS) == 200 * MS,
	      "it is looked at when all CPUs could have used it up");
	check(next_look(&limits, 999 * MS) == LOOK_SHORTEST_NS,
	      "close to the limit it is looked at each 10 ms");
	check(next_look(&limits, 1000 * MS) == 0 && next_look(&limits, 5000 * MS) == 0,
	      "at the limit, and beyond it, it is used up");
	limits = limits_of(1000 * MS, 4);
	(void)next_look(&limits, 999 * MS);
	for (uint64_t wait = 20 * MS; wait < LOOK_LONGEST_NS; wait *= 2)
		grows = grows && next_look(&limits, 999 * MS) == wait;
	check(grows && next_look(&limits, 999 * MS) == LOOK_LONGEST_NS &&
		      next_look(&limits, 999 * MS) == LOOK_LONGEST_NS,
	      "an idle task is looked at less and less often, but each 100 ms");
	check(next_look(&limits, 999 * MS + 1) == LOOK_SHORTEST_NS,
	      "one that goes on is looked at as before");
	limits = limits_of(TIME_LIMIT_MAX_NS, 1);
	check(next_look(&limits, 1) == TIME_LIMIT_MAX_NS - 1, "the largest limit does not overflow");
}

static bool expires(const struct time_limits *limits, int ms)
{
	struct pollfd timer = {.fd = limits->timer, .events = POLLIN};

	return poll(&timer, 1, ms) == 1;
}

static void test_timeout(void)
{
	struct spec spec = {.timeout_ns = 50 * MS};
	struct time_limits limits;
	struct fault fault = {0};
	uint64_t begun;
	bool made = make_time_limits(&spec, -1, &limits, &fault) == 0;

	check(made && expires(&limits, 0), "a timer has expired from its making on");
	begun = now_ns(CLOCK_BOOTTIME);
	start_time(&limits);
	check(look_at_time(&limits) == 0, "the first look sets it");
	check(expires(&limits, 60000) && look_at_time(&limits) == EXIT_TIMED_OUT, "the task has timed out");
	check(now_ns(CLOCK_BOOTTIME) - begun >= 50 * MS, "and not before its time");
	close_fd(&limits.timer);
}

static void test_both(void)
{
	struct spec spec = {.timeout_ns = TIME_LIMIT_MAX_NS, .cpu_time_ns = 2 * MS};
	int file = file_of("usage_usec 1999\n");
	struct time_limits limits;
	struct fault fault = {0};

	check(make_time_limits(&spec, file, &limits, &fault) == 0, "a task can have both limits");
	start_time(&limits);
	check(look_at_time(&limits) == 0 && expires(&limits, 60000) && look_at_time(&limits) == 0,
	      "the earlier one is looked at");
	(void)!pwrite(file, "usage_usec 2000\n", 16, 0);
	check(look_at_time(&limits) == EXIT_CPU_TIME, "and is told");
	close_fd(&file);
	check(look_at_time(&limits) == 0, "a counter that cannot be read ends nobody");
	close_fd(&limits.timer);
}

static void test_none(void)
{
	struct spec spec = {0};
	struct time_limits limits;
	struct fault fault = {0};

	check(make_time_limits(&spec, -1, &limits, &fault) == 0 && limits.timer == -1,
	      "a task without limits has no timer");
}

int main(void)
{
	test_counters();
	test_looks();
	test_timeout();
	test_both();
	test_none();
	return tap_end();
}
