/*
 * Theory of operation. One process, one thread, one epoll loop; it forks and never blocks.
 * It hears the daemon on PROTOCOL_FD and has, for each task, init's end of a control pair
 * and pidfds of init and of the command; signals go by these alone. A tree that is to be
 * removed, or a file to be collected, is a forked worker's, with a pipe for its one word.
 *
 * EXITED is init's word, passed on, so that the daemon reads what the task used while the
 * kernel takes its namespaces. ENDED is said once per CREATE, when init has been reaped:
 * nothing of the task's pid namespace is alive then. When the daemon closes its end, the
 * launcher exits at once; inits whose command has not started see their control pair close
 * and give up; the others go on without it.
 *
 * ATTACH takes such a one over, by pid and start time. It is no child of this process: its
 * pidfd tells of its end, its record of how, and there is no control pair.
 */
#define _GNU_SOURCE
#include "launcher.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach.h"
#include "collect.h"
#include "credentials.h"
#include "init.h"
#include "message.h"
#include "pidfd.h"
#include "process.h"
#include "protocol.h"
#include "remove.h"
#include "sys.h"
#include "time-limits.h"

enum { EVENTS = 64, BUCKETS = 1024, READ_SIZE = 65536, KEPT_SIZE = 1 << 20, EXIT_BAD_MESSAGE = 2 };

enum source_kind { FROM_DAEMON, FROM_CHILD, CHILD_ENDED };

struct child;

struct source {
	enum source_kind kind;
	struct child *child;
};

/* What a child of the launcher's is there for. */
enum child_kind { INIT, REMOVER, COLLECTOR };

/* What a worker says before it ends. */
struct worker_words {
	struct fault fault;
	struct collected collected;
};

/* A task's init, or a worker; `pid` is of a fork, and 0 in what has been attached. */
struct child {
	struct child *next; /* in its bucket, later in the list of the dead */
	uint64_t task;
	enum child_kind kind;
	bool is_attached; /* an earlier launcher's init: whose it is to reap, is not known here */
	uid_t init_uid;	  /* of what has been attached */
	pid_t pid;
	int pidfd;
	int words; /* control pair of an init, pipe of a worker */
	int command_pidfd;
	int start_data;
	bool gone;
	struct source said, ended;
};

static struct {
	int epoll;
	struct child *buckets[BUCKETS];
	struct child *dead; /* freed after the batch of events that may still name them */
	uint8_t *in;
	size_t in_size, in_room;
	uint8_t *out;
	size_t out_size, out_room;
	bool waits_to_write;
} launcher;

static struct source daemon_source = {.kind = FROM_DAEMON};

/* Out of memory, or the daemon has broken the protocol: there is nothing left to trust. */
_Noreturn static void give_up(void)
{
	_exit(EXIT_BAD_MESSAGE);
}

static void make_room(uint8_t **bytes, size_t *room, size_t needed)
{
	size_t larger = *room > 0 ? *room : READ_SIZE;

	while (larger < needed)
		larger *= 2;
	if (larger == *room)
		return;
	*bytes = realloc(*bytes, larger);
	if (!*bytes)
		give_up();
	*room = larger;
}

static int watch(int fd, uint32_t events, struct source *source)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	return epoll_ctl(launcher.epoll, EPOLL_CTL_ADD, fd, &event);
}

/* Taken out by hand: a child that has just been forked may hold a copy, and keep it in the set. */
static void unwatch(int *fd)
{
	if (*fd >= 0)
		(void)epoll_ctl(launcher.epoll, EPOLL_CTL_DEL, *fd, NULL);
	close_fd(fd);
}

static void flush(void)
{
	size_t sent = 0;
	bool full = false;

	while (sent < launcher.out_size && !full) {
		ssize_t size = send(PROTOCOL_FD, launcher.out + sent, launcher.out_size - sent,
				    MSG_DONTWAIT | MSG_NOSIGNAL);

		if (size > 0)
			sent += (size_t)size;
		else if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)
			full = true; /* tried again when there is room */
		else if (errno != EINTR)
			_exit(0); /* the daemon has gone */
	}
	memmove(launcher.out, launcher.out + sent, launcher.out_size - sent);
	launcher.out_size -= sent;
	if (full != launcher.waits_to_write) {
		struct epoll_event event = {.events = EPOLLIN | (full ? EPOLLOUT : 0u),
					    .data.ptr = &daemon_source};

		launcher.waits_to_write = full;
		(void)epoll_ctl(launcher.epoll, EPOLL_CTL_MOD, PROTOCOL_FD, &event);
	}
}

static void say(struct writer *writer)
{
	end_message(writer);
	make_room(&launcher.out, &launcher.out_room, launcher.out_size + writer->size);
	memcpy(launcher.out + launcher.out_size, writer->bytes, writer->size);
	launcher.out_size += writer->size;
}

static void say_fault(uint64_t task, const struct fault *fault)
{
	struct writer writer;

	begin_message(&writer, MESSAGE_FAULT, task);
	write_u32(&writer, fault->step);
	write_u32(&writer, (uint32_t)fault->error);
	write_u32(&writer, fault->index);
	write_string(&writer, fault->path, sizeof(fault->path));
	say(&writer);
}

static void say_exited(uint64_t task, const struct exit_record *record)
{
	struct writer writer;

	begin_message(&writer, MESSAGE_EXITED, task);
	write_u32(&writer, (uint32_t)record->wait_status);
	write_u32(&writer, record->flags);
	write_u64(&writer, record->started_ns);
	write_u64(&writer, record->exited_ns);
	write_u64(&writer, record->stdout_bytes);
	write_u64(&writer, record->stderr_bytes);
	write_u64(&writer, record->stdout_dropped);
	write_u64(&writer, record->stderr_dropped);
	write_u64(&writer, record->cpu_user_us);
	write_u64(&writer, record->cpu_system_us);
	write_u64(&writer, record->memory_peak_bytes);
	say(&writer);
}

static void say_overrun(uint64_t task, uint32_t flags)
{
	struct writer writer;

	begin_message(&writer, MESSAGE_OVERRUN, task);
	write_u32(&writer, flags & (EXIT_TIMED_OUT | EXIT_CPU_TIME));
	say(&writer);
}

static void say_ended(uint64_t task)
{
	struct writer writer;

	begin_message(&writer, MESSAGE_ENDED, task);
	say(&writer);
}

static struct child *find_task(uint64_t task)
{
	struct child *child = launcher.buckets[task % BUCKETS];

	while (child && (child->task != task || child->kind != INIT))
		child = child->next;
	return child;
}

static struct child *new_child(uint64_t task, enum child_kind kind)
{
	struct child *child = calloc(1, sizeof(*child));

	if (!child)
		give_up();
	child->task = task;
	child->kind = kind;
	child->pidfd = child->words = child->command_pidfd = child->start_data = -1;
	child->said = (struct source){FROM_CHILD, child};
	child->ended = (struct source){CHILD_ENDED, child};
	return child;
}

static void enter(struct child *child)
{
	struct child **bucket = &launcher.buckets[child->task % BUCKETS];

	child->next = *bucket;
	*bucket = child;
}

/* A child whose end could not be heard of is killed and reaped; it has only just been forked. */
static int adopt(struct child *child)
{
	if (watch(child->words, EPOLLIN, &child->said) < 0 ||
	    watch(child->pidfd, EPOLLIN, &child->ended) < 0) {
		int error = errno;
		siginfo_t info;

		(void)sys_pidfd_send_signal(child->pidfd, SIGKILL);
		(void)waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED);
		errno = error;
		return -1;
	}
	enter(child);
	return 0;
}

static void close_child(struct child *child)
{
	unwatch(&child->pidfd);
	unwatch(&child->words);
	close_fd(&child->command_pidfd);
	close_fd(&child->start_data);
}

static void bury(struct child *child)
{
	struct child **link = &launcher.buckets[child->task % BUCKETS];

	while (*link != child)
		link = &(*link)->next;
	*link = child->next;
	close_child(child);
	child->gone = true;
	child->next = launcher.dead;
	launcher.dead = child;
}

static void free_dead(void)
{
	while (launcher.dead) {
		struct child *next = launcher.dead->next;

		free(launcher.dead);
		launcher.dead = next;
	}
}

static int make_channels(struct child *child, struct init_channels *ret_channels, struct fault *reterr)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return fail(reterr, STEP_CREATE_CHANNELS);
	child->words = pair[0];
	*ret_channels = (struct init_channels){.control = pair[1], .start_data = -1};
	child->start_data = memfd_create("start", MFD_CLOEXEC);
	if (child->start_data < 0)
		return fail(reterr, STEP_CREATE_CHANNELS);
	ret_channels->start_data = child->start_data;
	return 0;
}

static uint64_t namespaces(const struct spec *spec)
{
	uint64_t flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;

	if (spec->flags & CREATE_USER_NS)
		flags |= CLONE_NEWUSER;
	return flags;
}

static int clone_init(struct child *child, const struct spec *spec, struct fault *reterr)
{
	struct init_channels channels = {.control = -1, .start_data = -1};
	struct cgroup_fds cgroups;
	int result = -1;

	if (open_cgroups(spec, &cgroups, reterr) < 0)
		return -1;
	if (make_channels(child, &channels, reterr) < 0)
		goto done;
	child->pid = sys_clone(namespaces(spec), &child->pidfd, -1);
	if (child->pid == 0)
		run_init(spec, &cgroups, &channels);
	if (child->pid < 0)
		child->pidfd = -1;
	result = child->pid < 0 ? -1 : adopt(child);
	if (result < 0)
		(void)fail(reterr, STEP_CLONE_INIT);
done:
	close_fd(&channels.control);
	close_cgroups(&cgroups);
	return result;
}

static void take_create(uint64_t task, const uint8_t *body, size_t size)
{
	struct fault fault = {0};
	struct child *child;
	struct spec spec;

	if (!parse_spec(&spec, body, size) || find_task(task))
		give_up();
	child = new_child(task, INIT);
	if (clone_init(child, &spec, &fault) < 0) {
		say_fault(task, &fault);
		say_ended(task);
		close_child(child);
		free(child);
	}
	free_spec(&spec);
}

/* Body and order are checked here: the command reads what has been found whole. */
static void check_start(const uint8_t *body, size_t size)
{
	struct reader reader = read_body(body, size);

	(void)read_string(&reader);
	for (int list = 0; list < 2; list++) {
		uint32_t count = read_count(&reader, STRING_SIZE_MIN);

		if (list == 0 && count == 0)
			give_up();
		for (uint32_t i = 0; i < count; i++)
			(void)read_string(&reader);
	}
	if (!read_finished(&reader))
		give_up();
}

/* Says why, and kills init; ENDED follows. */
static void end_task(const struct child *child, const struct fault *fault)
{
	say_fault(child->task, fault);
	(void)sys_pidfd_send_signal(child->pidfd, SIGKILL);
}

static void take_start(uint64_t task, const uint8_t *body, size_t size)
{
	struct to_init word = {.start_size = size};
	struct child *child = find_task(task);
	struct fault fault = {0};

	check_start(body, size);
	if (!child)
		return;		     /* ENDED is under way */
	if (child->start_data < 0) { /* a second one changes nothing */
		(void)fail_with(&fault, STEP_READ_START, EALREADY);
		say_fault(task, &fault);
		return;
	}
	if (write_all(child->start_data, body, size) < 0) {
		(void)fail(&fault, STEP_READ_START);
		end_task(child, &fault);
		return;
	}
	close_fd(&child->start_data);
	/* Of one that has gone, ENDED follows. */
	if (child->words >= 0 && send(child->words, &word, sizeof(word), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
	    errno != EPIPE) {
		(void)fail(&fault, STEP_READ_START);
		end_task(child, &fault);
	}
}

static void take_signal(uint64_t task, const uint8_t *body, size_t size)
{
	struct reader reader = read_body(body, size);
	uint32_t number = read_u32(&reader);
	struct child *child = find_task(task);
	struct writer writer;
	int error = ESRCH;

	if (!read_finished(&reader) || number > (uint32_t)SIGRTMAX)
		give_up();
	if (child && child->command_pidfd >= 0)
		error = sys_pidfd_send_signal(child->command_pidfd, (int)number) < 0 ? errno : 0;
	begin_message(&writer, MESSAGE_SIGNALLED, task);
	write_u32(&writer, (uint32_t)error);
	say(&writer);
}

/*
 * An earlier launcher's init can be in that one's user namespace, where this one has no capability: there its own
 * user may, who is one of this one's too. The kernel takes whoever has changed his user for one with secrets, and
 * lets no init of this launcher's join its command's network any more (ptrace(2), setns(2)): so it is told otherwise.
 */
static void kill_attached(const struct child *child)
{
	uid_t own = geteuid();
	int dumpable = prctl(PR_GET_DUMPABLE);

	if (sys_pidfd_send_signal(child->pidfd, SIGKILL) == 0 || errno != EPERM)
		return;
	if (seteuid(child->init_uid) < 0)
		return;
	(void)sys_pidfd_send_signal(child->pidfd, SIGKILL);
	if (seteuid(own) < 0 || prctl(PR_SET_DUMPABLE, dumpable) < 0)
		give_up();
}

static void take_kill_init(uint64_t task, size_t size)
{
	struct child *child = find_task(task);

	if (size != 0)
		give_up();
	if (child && child->is_attached)
		kill_attached(child);
	else if (child)
		(void)sys_pidfd_send_signal(child->pidfd, SIGKILL);
}

static void say_removed(uint64_t task, const struct worker_words *words)
{
	struct writer writer;

	begin_message(&writer, MESSAGE_REMOVED, task);
	write_u32(&writer, words->fault.step);
	write_u32(&writer, (uint32_t)words->fault.error);
	say(&writer);
}

static void say_collected(uint64_t task, const struct worker_words *words)
{
	struct writer writer;

	begin_message(&writer, MESSAGE_COLLECTED, task);
	write_u32(&writer, words->fault.step);
	write_u32(&writer, (uint32_t)words->fault.error);
	write_u64(&writer, words->collected.size);
	write_u32(&writer, words->collected.mode);
	write_u32(&writer, words->collected.truncated);
	say(&writer);
}

static void say_worked(const struct child *child, const struct worker_words *words)
{
	if (child->kind == COLLECTOR)
		say_collected(child->task, words);
	else
		say_removed(child->task, words);
}

/* What a worker that says nothing of a step of its own has failed at. */
static enum step step_of(const struct child *child)
{
	return child->kind == COLLECTOR ? STEP_COPY_COLLECTED : STEP_REMOVE_TREES;
}

struct removal {
	uint32_t scope;
	const char *alloc_root;
	const char *alloc_id;
	const char *task_name;
};

static void work(const struct child *child, const void *request, struct worker_words *ret_words)
{
	struct fault *fault = &ret_words->fault;
	const struct removal *removal = request;

	/* The next launcher is asked to do the same, and maybe then to make anew what is removed. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		(void)fail(fault, step_of(child));
	else if (child->kind == COLLECTOR)
		(void)collect_file(request, &ret_words->collected, fault);
	else
		(void)remove_scope(removal->scope, removal->alloc_root, removal->alloc_id, removal->task_name,
				   fault);
}

/* Forks what answers the request, which is a removal or a struct collect. */
static void start_worker(uint64_t task, enum child_kind kind, const void *request)
{
	struct child *child = new_child(task, kind);
	struct worker_words words = {0};
	int pipe[2];

	if (pipe2(pipe, O_CLOEXEC) == 0) {
		child->words = pipe[0];
		child->pid = sys_clone(0, &child->pidfd, -1);
		if (child->pid == 0) {
			work(child, request, &words);
			_exit(write_all(pipe[1], &words, sizeof(words)) < 0);
		}
		if (child->pid < 0)
			child->pidfd = -1;
		close_fd(&pipe[1]);
	}
	if (child->words < 0 || child->pid < 0 || adopt(child) < 0) {
		(void)fail(&words.fault, step_of(child));
		say_worked(child, &words);
		close_child(child);
		free(child);
	}
}

static void take_remove(uint64_t task, const uint8_t *body, size_t size)
{
	struct reader reader = read_body(body, size);
	struct removal removal;

	removal.scope = read_u32(&reader);
	removal.alloc_root = read_string(&reader);
	removal.alloc_id = read_string(&reader);
	removal.task_name = read_string(&reader);
	if (!read_finished(&reader) || removal.scope > REMOVE_ALLOC || removal.alloc_root[0] != '/' ||
	    !is_name(removal.alloc_id) || !is_name(removal.task_name))
		give_up();
	start_worker(task, REMOVER, &removal);
}

static void take_collect(uint64_t task, const uint8_t *body, size_t size)
{
	struct collect collect;

	if (!parse_collect(&collect, body, size))
		give_up();
	start_worker(task, COLLECTOR, &collect);
}

static void say_attached(uint64_t task, int error)
{
	struct writer writer;

	begin_message(&writer, MESSAGE_ATTACHED, task);
	write_u32(&writer, (uint32_t)error);
	say(&writer);
}

static void take_attach(uint64_t task, const uint8_t *body, size_t size)
{
	struct attach_pidfds pidfds;
	struct attach attach;
	struct child *child;

	if (!parse_attach(&attach, body, size) || find_task(task))
		give_up();
	if (open_attached(&attach, &pidfds) < 0) {
		say_attached(task, errno);
		return;
	}
	child = new_child(task, INIT);
	child->is_attached = true;
	child->init_uid = attach.init_uid;
	child->pidfd = pidfds.init;
	child->command_pidfd = pidfds.command;
	if (watch(child->pidfd, EPOLLIN, &child->ended) < 0) {
		say_attached(task, errno);
		close_child(child);
		free(child);
		return;
	}
	enter(child);
	say_attached(task, 0);
}

static void write_process(struct writer *writer, const struct process_id *id)
{
	write_u32(writer, (uint32_t)id->pid);
	write_u64(writer, id->start_ticks);
}

static void take_find_init(uint64_t task, const uint8_t *body, size_t size)
{
	struct reader reader = read_body(body, size);
	const char *record_dir = read_string(&reader);
	struct process_id init = {0};
	struct writer writer;
	int error;

	if (!read_finished(&reader) || record_dir[0] != '/')
		give_up();
	error = find_init(record_dir, &init) < 0 ? errno : 0;
	begin_message(&writer, MESSAGE_FOUND_INIT, task);
	write_u32(&writer, (uint32_t)error);
	write_process(&writer, &init);
	say(&writer);
}

static void take_message(const struct header *header, const uint8_t *body)
{
	switch (header->type) {
	case MESSAGE_CREATE:
		take_create(header->task, body, header->size);
		return;
	case MESSAGE_START:
		take_start(header->task, body, header->size);
		return;
	case MESSAGE_SIGNAL:
		take_signal(header->task, body, header->size);
		return;
	case MESSAGE_KILL_INIT:
		take_kill_init(header->task, header->size);
		return;
	case MESSAGE_REMOVE:
		take_remove(header->task, body, header->size);
		return;
	case MESSAGE_ATTACH:
		take_attach(header->task, body, header->size);
		return;
	case MESSAGE_COLLECT:
		take_collect(header->task, body, header->size);
		return;
	case MESSAGE_FIND_INIT:
		take_find_init(header->task, body, header->size);
		return;
	default:
		give_up();
	}
}

static void hear_daemon(void)
{
	size_t at = 0;
	ssize_t size;

	make_room(&launcher.in, &launcher.in_room, launcher.in_size + READ_SIZE);
	size = recv(PROTOCOL_FD, launcher.in + launcher.in_size, READ_SIZE, MSG_DONTWAIT);
	if (size == 0)
		_exit(0);
	if (size < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return;
		_exit(0);
	}
	launcher.in_size += (size_t)size;
	while (launcher.in_size - at >= sizeof(struct header)) {
		struct header header;

		memcpy(&header, launcher.in + at, sizeof(header));
		if (header.size > MESSAGE_SIZE_MAX)
			give_up();
		if (launcher.in_size - at < sizeof(header) + header.size)
			break;
		take_message(&header, launcher.in + at + sizeof(header));
		at += sizeof(header) + header.size;
	}
	memmove(launcher.in, launcher.in + at, launcher.in_size - at);
	launcher.in_size -= at;
	if (launcher.in_size == 0 && launcher.in_room > KEPT_SIZE) {
		free(launcher.in);
		launcher.in = NULL;
		launcher.in_room = 0;
	}
}

static int say_ready(const struct child *child, struct fault *reterr)
{
	struct process_id init, command;
	struct writer writer;

	if (child->command_pidfd < 0) /* the kernel had no room for it here */
		return fail_with(reterr, STEP_REPORT_READY, EMFILE);
	if (identify_process(child->pidfd, &init) < 0 || identify_process(child->command_pidfd, &command) < 0)
		return fail(reterr, STEP_REPORT_READY);
	begin_message(&writer, MESSAGE_READY, child->task);
	write_process(&writer, &init);
	write_process(&writer, &command);
	say(&writer);
	return 0;
}

static void say_started(const struct child *child, const struct from_init *words)
{
	struct writer writer;

	begin_message(&writer, MESSAGE_STARTED, child->task);
	write_u64(&writer, words->started_ns);
	write_u64(&writer, words->boottime_ns);
	say(&writer);
}

/* > 0: a word of init; 0: it has closed; -1: none now. ret_fd is a descriptor that came along, or -1. */
static ssize_t receive_word(int control, struct from_init *ret_words, int *ret_fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} rights;
	struct iovec part = {.iov_base = ret_words, .iov_len = sizeof(*ret_words)};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &rights,
		.msg_controllen = sizeof(rights),
	};
	ssize_t size = recvmsg(control, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *header = size > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	*ret_fd = -1;
	if (header && header->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(header), sizeof(int));
	return size;
}

static void take_words(struct child *child)
{
	struct from_init words;
	struct fault fault;
	int fd;

	while (child->words >= 0) {
		ssize_t size = receive_word(child->words, &words, &fd);

		if (size < 0)
			return;
		if (size != (ssize_t)sizeof(words)) {
			unwatch(&child->words);
			return;
		}
		switch ((enum init_word)words.word) {
		case INIT_READY:
			child->command_pidfd = fd;
			if (say_ready(child, &fault) < 0)
				end_task(child, &fault);
			break;
		case INIT_FAULT:
			say_fault(child->task, &words.fault);
			break;
		case INIT_STARTED:
			say_started(child, &words);
			break;
		case INIT_OVERRUN:
			say_overrun(child->task, words.exit.flags);
			break;
		case INIT_EXITED:
			say_exited(child->task, &words.exit);
			break;
		}
	}
}

/* Of what has been attached, the pidfd that can be read says it. ret_signal: what has killed it, or 0. */
static bool has_ended(const struct child *child, int *ret_signal)
{
	siginfo_t info = {0};

	*ret_signal = 0;
	if (child->is_attached)
		return true;
	if (waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED | WNOHANG) < 0)
		give_up(); /* nobody else reaps */
	if (info.si_code == CLD_KILLED)
		*ret_signal = info.si_status;
	return info.si_pid != 0;
}

static void take_end(struct child *child)
{
	int signal;

	if (!has_ended(child, &signal))
		return;
	if (child->kind != INIT) {
		struct worker_words words = {0};

		/* A worker that was killed has said nothing. */
		if (read(child->words, &words, sizeof(words)) != (ssize_t)sizeof(words)) {
			errno = signal == SIGALRM ? ETIMEDOUT : EIO;
			(void)fail(&words.fault, step_of(child));
		}
		say_worked(child, &words);
	} else {
		take_words(child);
		say_ended(child->task);
	}
	bury(child);
}

static void take_event(const struct epoll_event *event)
{
	struct source *source = event->data.ptr;

	switch (source->kind) {
	case FROM_DAEMON:
		if (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			hear_daemon();
		return;
	case FROM_CHILD:
		if (source->child->gone)
			return;
		if (source->child->kind == INIT)
			take_words(source->child);
		else /* it is read when the worker has ended */
			(void)epoll_ctl(launcher.epoll, EPOLL_CTL_DEL, source->child->words, NULL);
		return;
	case CHILD_ENDED:
		if (!source->child->gone)
			take_end(source->child);
		return;
	}
}

static void prepare(bool own_users)
{
	int keep[] = {0, 1, 2, PROTOCOL_FD};
	struct writer writer;
	int error;

	if (close_all_but(keep, 4) < 0 || reset_signals() < 0)
		give_up();
	/* Each init makes one of its own; this one is for those that may not (see new_keyring). */
	(void)sys_new_session_keyring();
	(void)umask(0); /* modes are what the steps say */
	rename_process("stockade-launcher");
	(void)host_cpus(); /* for its inits */
	error = own_users && unshare(CLONE_NEWUSER) < 0 ? errno : 0;
	/* None of its children has to, then. A plain user's have to, in user namespaces of their own. */
	(void)clear_bounding_set();
	/* The id maps of an undumpable process are root's to write, and here a plain user writes them. */
	if (geteuid() == 0)
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	launcher.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (launcher.epoll < 0 || watch(PROTOCOL_FD, EPOLLIN, &daemon_source) < 0)
		give_up();
	begin_message(&writer, MESSAGE_HELLO, 0);
	write_u32(&writer, PROTOCOL_VERSION);
	write_u32(&writer, (uint32_t)error);
	say(&writer);
}

int run_launcher(bool own_users)
{
	struct epoll_event events[EVENTS];

	prepare(own_users);
	for (;;) {
		int count;

		flush();
		count = epoll_wait(launcher.epoll, events, EVENTS, -1);
		for (int i = 0; i < count; i++)
			take_event(&events[i]);
		free_dead();
	}
}
