/*
 * Theory of operation. Init is the launcher's fork, pid 1 of the task's namespaces, in the
 * cgroup of all inits. It makes the sandbox in the order of `steps` below, each step whole
 * or the task is over; forks the command on the way, which makes itself ready beside it and
 * waits; drops to a uid of its own with CAP_KILL alone; and says READY. From then on it waits
 * for events:
 *
 *   control   START from the launcher. Its end before START: init gives up. After START a
 *             launcher that goes is not missed.
 *   gate      the command's last word before exec, or its closing.
 *   signals   SIGCHLD: reaps whatever ends; with the main process, the task ends.
 *   command   the main process has ended, though a tracer that does not wait keeps it from being reaped.
 *   time      a limit of the task's may have been reached: it is ended then, whoever else is there.
 *   pipes     output, moved to the logs. A task can have it wait there for all it wants: guard.h.
 *
 * The end: what is left in the pid namespace is killed and reaped, the pipes drained of
 * what is in them (not to their end: a write end may have been passed to another task, and
 * then the record says so), the exit record written, EXITED said. When init exits, the
 * kernel takes the namespaces.
 */
#define _GNU_SOURCE
#include "init.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "credentials.h"
#include "embed.h"
#include "guard.h"
#include "mounts.h"
#include "output.h"
#include "proc.h"
#include "process.h"
#include "protocol.h"
#include "record.h"
#include "sys.h"
#include "taskdir.h"
#include "time-limits.h"

struct init {
	const struct spec *spec;
	struct cgroup_fds cgroups;
	struct init_channels channels;
	struct record_fds record;
	int record_dir;
	struct task_dirs dirs;
	struct task_root root;
	int write_ends[2];
	struct output outputs[2];
	struct guarded own;	 /* until there is a guard */
	struct guarded *guarded; /* the same, or what the guard shares */
	int gate;
	int proc;
	int signals;
	int command_pidfd;
	pid_t command;
	bool let_go;	  /* START has been passed on */
	bool lets_gather; /* its output was in crumbs */
	bool over;	  /* the main process has ended, be it reaped or not, or its time has */
	struct exit_record exit;
};

static bool in_user_ns(const struct init *init)
{
	return (init->spec->flags & CREATE_USER_NS) != 0;
}

static int close_inherited(struct init *init, struct fault *reterr)
{
	/* 0, 1, 2 hold their places until the end, so that nothing else gets their numbers. */
	int keep[7 + CGROUPS_MAX] = {0,
				     1,
				     2,
				     init->channels.control,
				     init->channels.start_data,
				     init->cgroups.v2,
				     init->cgroups.cpu_time};
	size_t count = 7;

	for (size_t i = 0; i < init->cgroups.v1_count; i++)
		keep[count++] = init->cgroups.v1[i];
	/* The daemon's log is not init's to hold. */
	if (dup2(0, 2) < 0 || close_all_but(keep, count) < 0)
		return fail(reterr, STEP_CLOSE_INHERITED);
	rename_process("stockade-init");
	return 0;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int result = fd < 0 ? -1 : write_all(fd, text, strlen(text));

	close_fd(&fd);
	return result;
}

/* The one user that a plain user can map without help: itself (user_namespaces(7)). */
static int map_ids(struct init *init, struct fault *reterr)
{
	char uids[64], gids[64];

	if (!in_user_ns(init))
		return 0;
	(void)snprintf(uids, sizeof(uids), "%u %u 1", init->spec->uid, init->spec->uid);
	(void)snprintf(gids, sizeof(gids), "%u %u 1", init->spec->gid, init->spec->gid);
	if (write_file("/proc/self/setgroups", "deny") < 0 || write_file("/proc/self/uid_map", uids) < 0 ||
	    write_file("/proc/self/gid_map", gids) < 0)
		return fail(reterr, STEP_MAP_IDS);
	return 0;
}

static int new_session(struct init *init, struct fault *reterr)
{
	sigset_t all;

	/* Pid 1 gets only the signals that it asks for; these come by descriptor. */
	(void)sigfillset(&all);
	if (setsid() < 0 || sigprocmask(SIG_SETMASK, &all, NULL) < 0)
		return fail(reterr, STEP_NEW_SESSION);
	(void)sigemptyset(&all);
	(void)sigaddset(&all, SIGCHLD);
	init->signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (init->signals < 0)
		return fail(reterr, STEP_NEW_SESSION);
	return 0;
}

/*
 * Who has a session keyring has the keys in it, whatever his uid: the daemon's would be open to the task. A
 * kernel without keys, or one that lets nobody ask for them, keeps them from the task too. A plain user's tasks
 * share his own keyring in any case: that he may have no more keys is no reason to run none of them.
 */
static int new_keyring(struct init *init, struct fault *reterr)
{
	if (sys_new_session_keyring() < 0 && errno != ENOSYS && errno != EPERM &&
	    !(in_user_ns(init) && errno == EDQUOT))
		return fail(reterr, STEP_NEW_KEYRING);
	return 0;
}

static int open_records(struct init *init, struct fault *reterr)
{
	return open_record(init->spec->record_dir, &init->record, &init->record_dir, reterr);
}

/* The pipes are the task's user's: what it reopens by /dev/stderr it may write. */
static int create_pipes(struct init *init, struct fault *reterr)
{
	for (uint32_t i = 0; i < 2; i++) {
		int ends[2];

		if (pipe2(ends, O_CLOEXEC) < 0)
			return fail_at(reterr, STEP_CREATE_PIPES, i);
		init->outputs[i] = (struct output){
			.pipe = ends[0],
			.log = init->record.log[i],
			.cap = init->spec->log_bytes,
			.start = i == 0 ? &init->exit.stdout_dropped : &init->exit.stderr_dropped,
			.end = i == 0 ? &init->exit.stdout_bytes : &init->exit.stderr_bytes,
			.record = &init->exit,
			.record_fd = init->record.exit,
		};
		init->write_ends[i] = ends[1];
		if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0 ||
		    fchown(ends[1], init->spec->uid, init->spec->gid) < 0)
			return fail_at(reterr, STEP_CREATE_PIPES, i);
	}
	return 0;
}

/* What it holds the command inherits, and closes with all else. */
static int set_timer(struct init *init, struct fault *reterr)
{
	struct time_limits *limits = &init->guarded->limits;

	if (make_time_limits(init->spec, init->cgroups.cpu_time, limits, reterr) < 0)
		return -1;
	if (limits->timer >= 0)
		init->exit.flags |= EXIT_LIMITED; /* written when the command is let go */
	return 0;
}

/*
 * Made before there is a root for it, so that it makes its network, which takes as long, while init mounts: until
 * ENTER_ROOT it shares init's root and work directory, wherever init goes.
 */
static int clone_command(struct init *init, struct fault *reterr)
{
	int gate[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, gate) < 0)
		return fail(reterr, STEP_CLONE_COMMAND);
	init->command = sys_clone(CLONE_FS, &init->command_pidfd, init->cgroups.v2);
	if (init->command == 0) {
		struct command command = {
			.spec = init->spec,
			.cgroups = &init->cgroups,
			.gate = gate[1],
			.start_data = init->channels.start_data,
			.output = {init->write_ends[0], init->write_ends[1]},
		};
		run_command(&command);
	}
	if (init->command < 0)
		(void)fail(reterr, STEP_CLONE_COMMAND);
	close_fd(&gate[1]);
	init->gate = gate[0];
	return init->command < 0 ? -1 : 0;
}

static int make_private(struct init *init, struct fault *reterr)
{
	(void)init;
	return make_mounts_private(reterr);
}

static int make_alloc(struct init *init, struct fault *reterr)
{
	return make_alloc_dir(init->spec, &init->dirs, reterr);
}

static int make_task(struct init *init, struct fault *reterr)
{
	return make_task_dir(init->spec, &init->dirs, reterr);
}

static int embed(struct init *init, struct fault *reterr)
{
	return embed_trees(init->spec, init->dirs.task, reterr);
}

static int root_mount(struct init *init, struct fault *reterr)
{
	return mount_root(init->spec, &init->dirs, &init->root, reterr);
}

static int binds(struct init *init, struct fault *reterr)
{
	return mount_binds(init->spec, init->root.tree, reterr);
}

static int task_mounts(struct init *init, struct fault *reterr)
{
	return mount_dirs(init->spec, &init->dirs, init->root.tree, reterr);
}

static int proc_mount(struct init *init, struct fault *reterr)
{
	return mount_proc(init->root.tree, reterr);
}

static int dev_mount(struct init *init, struct fault *reterr)
{
	return mount_dev(init->spec, init->root.tree, reterr);
}

static int tmp_mounts(struct init *init, struct fault *reterr)
{
	return mount_tmp(init->spec, init->root.tree, reterr);
}

static int seal(struct init *init, struct fault *reterr)
{
	return seal_root(&init->root, reterr);
}

static int pivot(struct init *init, struct fault *reterr)
{
	return pivot_root_to(&init->root, reterr);
}

/* Before the command, which enters its work directory as the task's user: that is /local, or below it, as a rule. */
static int give(struct init *init, struct fault *reterr)
{
	return give_local(init->spec, &init->dirs, reterr);
}

/* The command waits for it. Of one that has ended, the gate tells. */
static int show_root(struct init *init, struct fault *reterr)
{
	if (send(init->gate, &root_is_there, sizeof(root_is_there), MSG_NOSIGNAL) < 0 && errno != EPIPE)
		return fail(reterr, STEP_ENTER_ROOT);
	return 0;
}

static int leave(struct init *init, struct fault *reterr)
{
	if (leave_host(reterr) < 0)
		return -1;
	close_root(&init->root);
	close_outer_dirs(&init->dirs);
	init->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (init->proc < 0)
		return fail(reterr, STEP_LEAVE_HOST);
	return 0;
}

static int set_hostname(struct init *init, struct fault *reterr)
{
	if (sethostname(init->spec->hostname, strlen(init->spec->hostname)) < 0)
		return fail(reterr, STEP_SET_HOSTNAME);
	return 0;
}

/* The command's own steps, up to where it waits. */
static int await_command(struct init *init, struct fault *reterr)
{
	struct fault said;
	ssize_t size;

	/* Of one that ended before it read of the root this is heard first, once. */
	do
		size = recv(init->gate, &said, sizeof(said), 0);
	while (size < 0 && errno == ECONNRESET);
	if (size < 0)
		return fail(reterr, STEP_AWAIT_COMMAND);
	if (size != (ssize_t)sizeof(said))
		return fail_with(reterr, STEP_AWAIT_COMMAND, ECHILD);
	if (said.step != STEP_OK) {
		*reterr = said;
		return -1;
	}
	return 0;
}

/*
 * The command has made it, so that the task pays for its memory. Init goes there too: what /proc shows of pid 1's
 * network must not be the host's.
 */
static int join_net_ns(struct init *init, struct fault *reterr)
{
	if ((init->spec->flags & CREATE_NET_NS) && setns(init->command_pidfd, CLONE_NEWNET) < 0)
		return fail(reterr, STEP_JOIN_NET_NS);
	return 0;
}

/* Nothing that a request can ask for fails any more: the logs of an earlier run give way. */
static int link_task_logs(struct init *init, struct fault *reterr)
{
	(void)reterr;
	/* A link is the log itself: a task of the log's own user could write it. */
	if (init->spec->uid != geteuid())
		link_logs(init->spec, &init->dirs, init->record_dir);
	close_fd(&init->record_dir);
	close_task_dirs(&init->dirs);
	return 0;
}

static struct identity own_identity(const struct init *init)
{
	return (struct identity){
		.uid = in_user_ns(init) ? init->spec->uid : init->spec->init_uid,
		.gid = in_user_ns(init) ? init->spec->gid : (gid_t)init->spec->init_uid,
		.capabilities = 1ull << CAP_KILL,
		.keep_ids = in_user_ns(init),
	};
}

static int drop_privileges(struct init *init, struct fault *reterr)
{
	struct identity identity = own_identity(init);
	int keep[] = {
		init->channels.control,
		init->record.exit,
		init->record.log[0],
		init->record.log[1],
		init->outputs[0].pipe,
		init->outputs[1].pipe,
		init->gate,
		init->proc,
		init->signals,
		init->command_pidfd,
		init->guarded->limits.timer,
		init->guarded->limits.cpu_time_file,
	};

	if (close_all_but(keep, sizeof(keep) / sizeof(*keep)) < 0)
		return fail(reterr, STEP_DROP_INIT_PRIVILEGES);
	/* Init opens no path any more; and /proc/1/mountinfo shows what lies below its root, by host paths. */
	if (chdir("/dev/pts") < 0 || chroot(".") < 0)
		return fail(reterr, STEP_DROP_INIT_PRIVILEGES);
	if (set_ids(&identity, reterr, STEP_DROP_INIT_PRIVILEGES) < 0 ||
	    drop_capabilities(&identity, reterr, STEP_DROP_INIT_PRIVILEGES) < 0)
		return -1;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return fail(reterr, STEP_DROP_INIT_PRIVILEGES);
	return 0;
}

static int verify_privileges(struct init *init, struct fault *reterr)
{
	struct identity identity = own_identity(init);

	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return fail_with(reterr, STEP_VERIFY_INIT, EPERM);
	return verify_identity(&identity, reterr, STEP_VERIFY_INIT);
}

static int clone_guard(struct init *init, struct fault *reterr)
{
	bool in_cgroup = init->cgroups.v2 >= 0 || init->cgroups.v1_count > 0;

	if (in_cgroup && init->guarded->limits.timer < 0)
		return 0;
	return start_guard(&init->guarded, init->command_pidfd) < 0 ? fail(reterr, STEP_CLONE_GUARD) : 0;
}

/*
 * What sending says where the launcher has gone: as a rule EPIPE; ECONNRESET, once, if it left something unread. A
 * kernel older than 6.2 can answer the others too, to who sends as it goes.
 */
static bool says_gone(int error)
{
	return error == EPIPE || error == ECONNRESET || error == ECONNREFUSED || error == ENOTCONN;
}

/* A launcher that is not there to hear it is not missed. */
static int say(struct init *init, const struct from_init *words)
{
	ssize_t size = init->channels.control < 0
			       ? 0
			       : send(init->channels.control, words, sizeof(*words), MSG_NOSIGNAL);

	return size < 0 && !says_gone(errno) ? -1 : 0;
}

static int report_ready(struct init *init, struct fault *reterr)
{
	struct from_init words = {.word = INIT_READY};
	struct iovec part = {.iov_base = &words, .iov_len = sizeof(words)};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &init->command_pidfd, sizeof(int));
	if (sendmsg(init->channels.control, &message, MSG_NOSIGNAL) < 0)
		return fail(reterr, STEP_REPORT_READY);
	return 0;
}

/*
 * Until the command has been told to go, init ends with its launcher, in whatever it is doing: nobody else knows of
 * it. The kernel forgets that when ids change. A launcher that had gone before is missed when it is to be told.
 */
static int tie_to_launcher(struct init *init, struct fault *reterr)
{
	(void)init;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return fail(reterr, STEP_TIE_TO_LAUNCHER);
	return 0;
}

static int untie(struct fault *reterr)
{
	if (prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0) < 0)
		return fail(reterr, STEP_TIE_TO_LAUNCHER);
	return 0;
}

static int (*const steps[])(struct init *, struct fault *) = {
	close_inherited,
	map_ids,
	new_session,
	new_keyring,
	tie_to_launcher,
	open_records,
	create_pipes,
	set_timer,
	clone_command,
	make_private,
	make_alloc,
	make_task,
	embed,
	root_mount,
	binds,
	task_mounts,
	proc_mount,
	dev_mount,
	tmp_mounts,
	seal,
	pivot,
	/* From here on something of an earlier run can change. */
	give,
	show_root,
	leave,
	set_hostname,
	await_command,
	join_net_ns,
	link_task_logs,
	drop_privileges,
	verify_privileges,
	clone_guard,
	tie_to_launcher, /* again */
	report_ready,
};

static void say_fault(struct init *init, const struct fault *fault)
{
	struct from_init words = {.word = INIT_FAULT, .fault = *fault};

	/* The end of the process tells too, if it comes to that. */
	(void)say(init, &words);
}

/* A child that was forked and has not executed anything has PF_FORKNOEXEC, also as a zombie. */
static int verify_executed(const struct init *init, struct fault *reterr)
{
	enum { PF_FORKNOEXEC = 0x40, FLAGS_FIELD = 9 };
	char path[32], text[1024];
	const char *flags;

	(void)snprintf(path, sizeof(path), "%d/stat", init->command);
	if (read_text(init->proc, path, text, sizeof(text)) < 0)
		return fail(reterr, STEP_EXEC);
	flags = stat_field(text, FLAGS_FIELD);
	if (!flags || (strtoul(flags, NULL, 10) & PF_FORKNOEXEC) != 0)
		return fail_with(reterr, STEP_EXEC, ESRCH);
	return 0;
}

/*
 * What a launcher that is there cannot be told has not started: nobody would know of it. One that has gone leaves
 * that to the record, and to its successor.
 */
static int note_started(struct init *init, struct fault *reterr)
{
	struct from_init words = {
		.word = INIT_STARTED,
		.started_ns = now_ns(CLOCK_REALTIME),
		.boottime_ns = now_ns(CLOCK_BOOTTIME),
	};

	init->exit.flags |= EXIT_STARTED;
	init->exit.started_ns = words.started_ns;
	(void)write_record(init->record.exit, &init->exit); /* written again at the end */
	start_time(&init->guarded->limits);
	begin_guard(init->guarded);
	if (say(init, &words) == 0)
		return 0;
	(void)fail(reterr, STEP_EXEC);
	init->exit.flags &= ~(uint32_t)EXIT_STARTED;
	init->exit.started_ns = 0;
	(void)kill(-1, SIGKILL);
	return -1;
}

/* To be called before the command is reaped: the proof of exec lies in its /proc entry. */
static void settle_gate(struct init *init)
{
	struct fault said;
	ssize_t size;

	if (init->gate < 0)
		return;
	size = recv(init->gate, &said, sizeof(said), MSG_DONTWAIT);
	if (size < 0)
		return;
	close_fd(&init->gate);
	if (size != (ssize_t)sizeof(said) && verify_executed(init, &said) == 0 &&
	    note_started(init, &said) == 0)
		return;
	say_fault(init, &said);
}

/*
 * Answers whether there is still a child. A child can make init its tracer (PTRACE_TRACEME needs no leave of it):
 * what stops that one is no end, and it is let go, with the signal that has stopped it.
 */
static bool reap(struct init *init)
{
	pid_t pid;
	int status;

	settle_gate(init);
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (WIFSTOPPED(status)) {
			(void)ptrace(PTRACE_DETACH, pid, NULL, (void *)(uintptr_t)WSTOPSIG(status));
			continue;
		}
		if (pid != init->command)
			continue;
		init->over = true;
		init->exit.wait_status = status;
		init->exit.exited_ns = now_ns(CLOCK_REALTIME);
	}
	return pid == 0;
}

static void take_signals(struct init *init)
{
	struct signalfd_siginfo info;

	while (read(init->signals, &info, sizeof(info)) > 0)
		;
	(void)reap(init);
}

/* Before START the launcher's end is the task's. After it nobody is missed. */
static void take_word(struct init *init)
{
	struct to_init word;
	struct fault fault;
	ssize_t size = recv(init->channels.control, &word, sizeof(word), MSG_DONTWAIT);

	/* Poll says whether to ask again. ECONNRESET comes before a START that the launcher has left here. */
	if (size < 0 && errno != ENOTCONN)
		return;
	if (size != (ssize_t)sizeof(word)) {
		if (!init->let_go)
			_exit(0); /* the kernel kills the waiting command with its namespace */
		close_fd(&init->channels.control);
		return;
	}
	if (untie(&fault) < 0) {
		say_fault(init, &fault);
		_exit(0);
	}
	init->let_go = true;
	/* Before it may be executed: init can be killed from now on before it has told of that. */
	init->exit.flags |= EXIT_LET_GO;
	(void)write_record(init->record.exit, &init->exit); /* written again at the end */
	/* One that has been killed meanwhile is told of by the gate. */
	if (init->gate >= 0 &&
	    send(init->gate, &word.start_size, sizeof(word.start_size), MSG_NOSIGNAL) < 0 && errno != EPIPE) {
		(void)fail(&fault, STEP_READ_START);
		say_fault(init, &fault);
	}
}

/*
 * Why the task is killed is on record before it is. What is frozen does not die of a signal: the daemon, if it is
 * there, thaws it. A task that has ended by itself meanwhile has done so.
 */
static void take_time(struct init *init)
{
	struct from_init words = {.word = INIT_OVERRUN};
	uint32_t overrun = look_at_time(&init->guarded->limits);

	if (!overrun)
		return;
	init->over = true;
	init->exit.flags |= overrun;
	(void)write_record(init->record.exit, &init->exit); /* written again at the end */
	words.exit = init->exit;
	(void)say(init, &words);
}

enum { CONTROL, GATE, SIGNALS, COMMAND, TIME, STDOUT, STDERR, SOURCES };

/*
 * What comes in crumbs is left alone for a moment, until there is something to move: to wake for each byte would
 * cost init as much time as it costs the task to write them, and nobody's share of the processor is charged for it.
 */
static void drain(struct init *init, const struct pollfd *sources)
{
	enum { WORTH_MOVING = 32768 };
	size_t moved = 0;

	for (int i = 0; i < 2; i++) {
		if (sources[STDOUT + i].revents)
			moved += move_output(&init->outputs[i]);
	}
	init->lets_gather = moved > 0 && moved < WORTH_MOVING;
}

static void serve(struct init *init)
{
	static const struct timespec moment = {.tv_nsec = 200000};
	bool gathers = init->lets_gather;
	bool started = (init->exit.flags & EXIT_STARTED) != 0;
	struct pollfd sources[SOURCES] = {
		[CONTROL] = {.fd = init->channels.control, .events = POLLIN},
		[GATE] = {.fd = init->gate, .events = POLLIN},
		[SIGNALS] = {.fd = init->signals, .events = POLLIN},
		[COMMAND] = {.fd = init->command_pidfd, .events = POLLIN},
		[TIME] = {.fd = started ? init->guarded->limits.timer : -1, .events = POLLIN},
		[STDOUT] = {.fd = gathers ? -1 : init->outputs[0].pipe, .events = POLLIN},
		[STDERR] = {.fd = gathers ? -1 : init->outputs[1].pipe, .events = POLLIN},
	};

	if (ppoll(sources, SOURCES, gathers ? &moment : NULL, NULL) < 0) {
		/* A task with init's uid has taken init's RLIMIT_NOFILE: it is ended while that can be told. */
		init->over = init->over || errno == EINVAL;
		return; /* EINTR */
	}
	drain(init, sources);
	if (sources[GATE].revents)
		settle_gate(init);
	if (sources[SIGNALS].revents)
		take_signals(init);
	/* A zombie is its tracer's to reap first. Nothing tells init of it; end_all kills the tracer. */
	if (sources[COMMAND].revents)
		init->over = true;
	if (sources[CONTROL].revents && init->channels.control >= 0)
		take_word(init);
	if (sources[TIME].revents && !init->over)
		take_time(init);
}

/* All that is left in the pid namespace; a frozen process goes when it is thawed. */
static void end_all(struct init *init)
{
	for (;;) {
		struct pollfd sources[] = {
			{.fd = init->signals, .events = POLLIN},
			{.fd = init->outputs[0].pipe, .events = POLLIN},
			{.fd = init->outputs[1].pipe, .events = POLLIN},
		};

		(void)kill(-1, SIGKILL); /* ESRCH: nobody is left */
		if (!reap(init))
			return;
		(void)poll(sources, 3, -1);
		take_signals(init);
		(void)drain_output(&init->outputs[0]);
		(void)drain_output(&init->outputs[1]);
	}
}

static void record_end(struct init *init)
{
	struct from_init words = {.word = INIT_EXITED};
	struct exit_record *exit_record = &init->exit;
	struct rusage usage = {0};
	bool all_of_stdout = drain_output(&init->outputs[0]);
	bool all_of_stderr = drain_output(&init->outputs[1]);

	(void)getrusage(RUSAGE_CHILDREN, &usage);
	exit_record->flags |= EXIT_ENDED | __atomic_load_n(&init->guarded->overrun, __ATOMIC_ACQUIRE);
	if (!all_of_stdout || !all_of_stderr)
		exit_record->flags |= EXIT_OUTPUT_TRUNCATED;
	exit_record->cpu_user_us =
		(uint64_t)usage.ru_utime.tv_sec * 1000000u + (uint64_t)usage.ru_utime.tv_usec;
	exit_record->cpu_system_us =
		(uint64_t)usage.ru_stime.tv_sec * 1000000u + (uint64_t)usage.ru_stime.tv_usec;
	exit_record->memory_peak_bytes = (uint64_t)usage.ru_maxrss * 1024u;
	(void)write_record(init->record.exit, exit_record);
	words.exit = *exit_record;
	(void)say(init, &words);
}

_Noreturn void run_init(const struct spec *spec, const struct cgroup_fds *cgroups,
			const struct init_channels *channels)
{
	struct init init = {
		.spec = spec,
		.cgroups = *cgroups,
		.channels = *channels,
		.record = {.exit = -1, .log = {-1, -1}},
		.record_dir = -1,
		.dirs = NO_TASK_DIRS,
		.root = NO_TASK_ROOT,
		.write_ends = {-1, -1},
		.own = {.limits = NO_TIME_LIMITS},
		.outputs = {{.pipe = -1, .log = -1}, {.pipe = -1, .log = -1}},
		.gate = -1,
		.proc = -1,
		.signals = -1,
		.command_pidfd = -1,
	};
	struct fault fault = {0};

	init.guarded = &init.own;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		if (steps[i](&init, &fault) < 0) {
			take_local_back(&init.dirs);
			say_fault(&init, &fault);
			_exit(0); /* the kernel kills what was forked */
		}
	}
	forget_body(spec);
	while (!init.over)
		serve(&init);
	end_all(&init);
	record_end(&init);
	_exit(0);
}
