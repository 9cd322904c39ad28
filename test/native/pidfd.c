/* Finding a process again by its pid and start time: that one, and no other. */
#define _GNU_SOURCE
#include "pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach.h"
#include "proc.h"
#include "sys.h"
#include "tap.h"

static bool is_refused(struct process_id id, int error)
{
	errno = 0;
	return open_process(&id) < 0 && errno == error;
}

static pid_t fork_sleeper(int *ret_pidfd)
{
	pid_t pid = sys_clone(0, ret_pidfd, -1);

	if (pid == 0) {
		for (;;)
			pause();
	}
	return pid;
}

static void await_zombie(pid_t pid)
{
	siginfo_t info;

	(void)waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
}

static void test_life(void)
{
	struct process_id id = {0}, again = {0};
	int forked, found;
	pid_t pid = fork_sleeper(&forked);

	check(identify_process(forked, &id) == 0 && id.pid == pid && id.start_ticks > 0,
	      "a process is identified by its pidfd");
	found = open_process(&id);
	check(found >= 0, "it is found again");
	check(identify_process(found, &again) == 0 && again.pid == id.pid &&
		      again.start_ticks == id.start_ticks,
	      "it is the same then");
	check(is_refused((struct process_id){pid, id.start_ticks + 1}, ESRCH) &&
		      is_refused((struct process_id){pid, id.start_ticks - 1}, ESRCH) &&
		      is_refused((struct process_id){pid, 0}, ESRCH),
	      "one with its pid that has started at another time is not");
	(void)sys_pidfd_send_signal(found, SIGKILL);
	await_zombie(pid);
	check(is_refused(id, ESRCH), "it is not found once it has ended, though nobody has reaped it");
	check(identify_process(forked, &again) < 0 && errno == ESRCH, "nor identified then");
	(void)waitpid(pid, NULL, 0);
	check(is_refused(id, ESRCH), "it is not found once it has been reaped");
	check(identify_process(forked, &again) < 0 && errno == ESRCH, "nor identified then");
	close_fd(&forked);
	close_fd(&found);
}

static void *test_in_thread(void *none)
{
	check(is_refused((struct process_id){gettid(), 1}, ESRCH), "a thread is no process");
	return none;
}

static void test_thread(void)
{
	pthread_t thread;

	(void)pthread_create(&thread, NULL, test_in_thread, NULL);
	(void)pthread_join(thread, NULL);
}

static void *end_with_parent(void *none)
{
	for (;;)
		pause();
	return none;
}

/* Its first thread is a zombie, and it lives. */
_Noreturn static void run_without_first_thread(void)
{
	pthread_t thread;

	(void)pthread_create(&thread, NULL, end_with_parent, NULL);
	pthread_exit(NULL);
}

/* What stat says of its state; 0: nothing. */
static char state_of(pid_t pid)
{
	char path[64], text[1024];
	const char *state;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	state = read_text(AT_FDCWD, path, text, sizeof(text)) < 0 ? NULL : stat_field(text, 3);
	return state ? *state : 0;
}

static void test_without_first_thread(void)
{
	struct process_id id;
	pid_t pid = fork();
	int pidfd, found;

	if (pid == 0)
		run_without_first_thread();
	pidfd = sys_pidfd_open(pid);
	while (state_of(pid) != 'Z')
		(void)usleep(1000);
	check(identify_process(pidfd, &id) == 0, "one whose first thread has ended lives");
	found = open_process(&id);
	check(found >= 0, "and is found again");
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	close_fd(&pidfd);
	close_fd(&found);
}

static void test_attach(void)
{
	struct attach_pidfds pidfds = {-1, -1};
	struct attach attach = {0};
	int init, command;
	pid_t init_pid = fork_sleeper(&init), command_pid = fork_sleeper(&command);

	(void)identify_process(init, &attach.init);
	(void)identify_process(command, &attach.command);
	check(open_attached(&attach, &pidfds) == 0 && pidfds.init >= 0 && pidfds.command >= 0,
	      "a task is found by its two processes");
	close_fd(&pidfds.init);
	close_fd(&pidfds.command);
	(void)kill(command_pid, SIGKILL);
	await_zombie(command_pid);
	check(open_attached(&attach, &pidfds) == 0 && pidfds.init >= 0 && pidfds.command < 0,
	      "or by its init alone, where the command has ended");
	close_fd(&pidfds.init);
	(void)kill(init_pid, SIGKILL);
	await_zombie(init_pid);
	check(open_attached(&attach, &pidfds) < 0 && errno == ESRCH, "and not where init has");
	(void)waitpid(command_pid, NULL, 0);
	(void)waitpid(init_pid, NULL, 0);
	close_fd(&init);
	close_fd(&command);
}

int main(void)
{
	test_life();
	test_thread();
	test_without_first_thread();
	test_attach();
	return tap_end();
}
