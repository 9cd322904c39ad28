/*
 * The floor: what the kernel asks for one task, by one process and nothing else. A child in
 * its namespaces makes the mounts of a CREATE with the helper's own functions, joins the
 * task's cgroup, drops to the task's user and executes the program; its end is awaited, and
 * the cgroup removed. No init, no record, no logs, no daemon.
 *
 *   floor <file with the body of a CREATE> <count> <program>
 *
 * Prints the nanoseconds of each round, one a line.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../native/cgroups.h"
#include "../native/credentials.h"
#include "../native/mounts.h"
#include "../native/process.h"
#include "../native/protocol.h"
#include "../native/sys.h"
#include "../native/taskdir.h"

static void check(int result, const char *what)
{
	if (result >= 0)
		return;
	perror(what);
	_exit(1);
}

static void raise_loopback(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	check(fd, "socket");
	check(ioctl(fd, SIOCSIFFLAGS, &request), "raise the loopback interface");
	close_fd(&fd);
}

static void make_mounts(const struct spec *spec, struct task_dirs *dirs, struct fault *fault)
{
	struct task_root root = NO_TASK_ROOT;

	check(make_mounts_private(fault), "detach from the host's mounts");
	check(mount_root(spec, dirs, &root, fault), "mount the root");
	check(mount_binds(spec, root.tree, fault), "mount the host's paths");
	check(mount_dirs(spec, dirs, root.tree, fault), "mount /alloc and /local");
	check(mount_proc(root.tree, fault), "mount /proc");
	check(mount_dev(spec, root.tree, fault), "mount /dev");
	check(mount_tmp(spec, root.tree, fault), "mount /tmp");
	check(seal_root(&root, fault), "seal the root");
	check(pivot_root_to(&root, fault), "change the root");
	check(leave_host(fault), "let go of the host's mounts");
}

/* A descriptor of another mount namespace's mount is no use: they are opened anew, by path. */
static int open_dir(const struct spec *spec, const char *name, const char *below)
{
	char path[4096];
	int length =
		snprintf(path, sizeof(path), "%s/%s/%s/%s", spec->alloc_root, spec->alloc_id, name, below);
	int dir = length < (int)sizeof(path) ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

	check(dir, "open a directory of the task");
	return dir;
}

_Noreturn static void run_child(const struct spec *spec, const struct cgroup_fds *cgroups, char *program)
{
	struct task_dirs dirs = {
		.shared = open_dir(spec, "alloc", ""),
		.task = open_dir(spec, spec->task_name, ""),
		.local = open_dir(spec, spec->task_name, "local"),
	};
	struct identity identity = {
		.uid = spec->uid,
		.gid = spec->gid,
		.group_count = spec->group_count,
		.groups = spec->groups,
	};
	char *argv[] = {program, NULL};
	char *envp[] = {NULL};
	struct fault fault = {0};
	int keep[] = {0, 1, 2};

	if (sys_new_session_keyring() < 0 && errno != ENOSYS && errno != EPERM)
		check(-1, "make a session keyring");
	check(join_cgroups(cgroups, &fault), "join the cgroup");
	check(unshare(CLONE_NEWCGROUP | (spec->flags & CREATE_NET_NS ? CLONE_NEWNET : 0)),
	      "create namespaces");
	make_mounts(spec, &dirs, &fault);
	check(sethostname(spec->hostname, strlen(spec->hostname)), "set the host name");
	if (spec->flags & CREATE_NET_NS)
		raise_loopback();
	check(close_all_but(keep, 3), "close descriptors");
	check(reset_attributes(), "reset signals, umask and limits");
	check(set_ids(&identity, &fault, STEP_SET_CREDENTIALS), "set user and groups");
	check(drop_capabilities(&identity, &fault, STEP_DROP_CAPABILITIES), "drop capabilities");
	check(chdir(spec->work_dir), "enter the work directory");
	check(execve(program, argv, envp), "execute the program");
	_exit(1);
}

static void make_cgroups(const struct spec *spec)
{
	if (spec->cgroup_v2[0] != '\0')
		check(mkdir(spec->cgroup_v2, 0755), "make the v2 cgroup");
	for (size_t i = 0; i < spec->cgroup_v1_count; i++)
		check(mkdir(spec->cgroup_v1[i], 0755), "make a v1 cgroup");
}

static void remove_cgroup(const char *dir)
{
	/* A process may still be on its way out of it when its parent has reaped it. */
	while (rmdir(dir) < 0)
		check(errno == EBUSY ? 0 : -1, "remove a cgroup");
}

static void remove_cgroups(const struct spec *spec)
{
	if (spec->cgroup_v2[0] != '\0')
		remove_cgroup(spec->cgroup_v2);
	for (size_t i = 0; i < spec->cgroup_v1_count; i++)
		remove_cgroup(spec->cgroup_v1[i]);
}

static uint64_t run_round(const struct spec *spec, char *program)
{
	uint64_t namespaces = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
	uint64_t start = now_ns(CLOCK_MONOTONIC);
	struct cgroup_fds cgroups;
	struct fault fault = {0};
	int pidfd, status;
	pid_t pid;

	make_cgroups(spec);
	check(open_cgroups(spec, &cgroups, &fault), "open the cgroup");
	pid = sys_clone(namespaces, &pidfd, cgroups.v2);
	check(pid, "clone");
	if (pid == 0)
		run_child(spec, &cgroups, program);
	close_cgroups(&cgroups);
	close_fd(&pidfd);
	check(waitpid(pid, &status, 0), "wait");
	remove_cgroups(spec);
	if (status != 0)
		exit(1); /* it has said why */
	return now_ns(CLOCK_MONOTONIC) - start;
}

static void read_create(const char *path, struct spec *ret_spec)
{
	struct stat file;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	const uint8_t *body;

	check(fd < 0 ? -1 : fstat(fd, &file), path);
	body = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	check(body == MAP_FAILED ? -1 : 0, path);
	check(parse_spec(ret_spec, body, (size_t)file.st_size) ? 0 : -1, "parse the CREATE");
	close_fd(&fd);
}

int main(int argc, char **argv)
{
	struct task_dirs dirs = NO_TASK_DIRS;
	struct fault fault = {0};
	struct spec spec;
	long count;

	if (argc != 4) {
		(void)fprintf(stderr, "usage: floor <create> <count> <program>\n");
		return 2;
	}
	(void)umask(0); /* as in the launcher: modes are what the steps say */
	count = strtol(argv[2], NULL, 10);
	read_create(argv[1], &spec);
	/* Once: the kernel does not ask for a new directory each time. */
	check(make_alloc_dir(&spec, &dirs, &fault), "make the alloc directory");
	check(make_task_dir(&spec, &dirs, &fault), "make the task directory");
	check(give_local(&spec, &dirs, &fault), "give /local to the task's user");
	close_task_dirs(&dirs);
	for (long i = 0; i < count; i++)
		(void)printf("%llu\n", (unsigned long long)run_round(&spec, argv[3]));
	return 0;
}
