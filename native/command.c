#define _GNU_SOURCE
#include "command.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "credentials.h"
#include "files.h"
#include "interpreter.h"
#include "message.h"
#include "process.h"
#include "protocol.h"
#include "sys.h"

enum { PATH_SIZE = 4096, FD_PATH_SIZE = 32 };

/* The shell's, for a program that was not found; nobody sees it but a debugger. */
#define EXIT_NOT_EXECUTED 127

static int join(struct command *command, struct fault *reterr)
{
	return join_cgroups(command->cgroups, reterr);
}

static int unshare_net_ns(struct command *command, struct fault *reterr)
{
	if ((command->spec->flags & CREATE_NET_NS) && unshare(CLONE_NEWNET) < 0)
		return fail(reterr, STEP_UNSHARE_NET_NS);
	return 0;
}

static int raise_loopback(struct command *command, struct fault *reterr)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd, result;

	if (!(command->spec->flags & CREATE_NET_NS))
		return 0;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	result = fd < 0 ? -1 : ioctl(fd, SIOCSIFFLAGS, &request);
	if (result < 0)
		(void)fail(reterr, STEP_RAISE_LOOPBACK);
	close_fd(&fd);
	return result;
}

/* What init does to its own root and work directory from here on is no longer this process's. */
static int enter_root(struct command *command, struct fault *reterr)
{
	char word;
	ssize_t received = recv(command->gate, &word, sizeof(word), 0);

	if (received < 0)
		return fail(reterr, STEP_ENTER_ROOT);
	if (received != (ssize_t)sizeof(word))
		return fail_with(reterr, STEP_ENTER_ROOT, ECANCELED);
	if (unshare(CLONE_FS) < 0 || chdir("/") < 0)
		return fail(reterr, STEP_ENTER_ROOT);
	return 0;
}

static int verify_joined(struct command *command, struct fault *reterr)
{
	return verify_cgroups(command->spec, command->cgroups, reterr);
}

/* After joining: the task's cgroup becomes the root of what it sees of cgroups. */
static int unshare_cgroup_ns(struct command *command, struct fault *reterr)
{
	(void)command;
	if (unshare(CLONE_NEWCGROUP) < 0)
		return fail(reterr, STEP_UNSHARE_CGROUP_NS);
	return 0;
}

static int reset_process(struct command *command, struct fault *reterr)
{
	(void)command;
	if (reset_attributes() < 0)
		return fail(reterr, STEP_RESET_PROCESS);
	return 0;
}

/*
 * In memory that the task pays for, as it is made in its cgroup. Sealed and the task's user's: what opens /dev/stdin
 * again can read it from its beginning, and nothing can change it.
 */
static int open_memory_stdin(const struct spec *spec)
{
	int memory = memfd_create("stdin", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char path[FD_PATH_SIZE];
	int fd = -1;

	if (memory < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
	if (write_all(memory, spec->stdin_bytes, spec->stdin_size) == 0 &&
	    fchown(memory, spec->uid, spec->gid) == 0 &&
	    fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	close_fd(&memory);
	return fd;
}

static int set_stdio(struct command *command, struct fault *reterr)
{
	const struct spec *spec = command->spec;
	int input = spec->stdin_size > 0 ? open_memory_stdin(spec) : open("/dev/null", O_RDONLY | O_CLOEXEC);
	int keep[5];

	if (input < 0 || dup2(input, 0) < 0 || dup2(command->output[0], 1) < 0 ||
	    dup2(command->output[1], 2) < 0) {
		(void)fail(reterr, STEP_SET_STDIO);
		close_fd(&input);
		return -1;
	}
	keep[0] = 0;
	keep[1] = 1;
	keep[2] = 2;
	keep[3] = command->gate;
	keep[4] = command->start_data;
	if (close_all_but(keep, 5) < 0)
		return fail(reterr, STEP_SET_STDIO);
	return 0;
}

static struct identity identity_of(const struct spec *spec)
{
	return (struct identity){
		.uid = spec->uid,
		.gid = spec->gid,
		.group_count = spec->group_count,
		.groups = spec->groups,
		.keep_ids = (spec->flags & CREATE_USER_NS) != 0,
	};
}

static int set_credentials(struct command *command, struct fault *reterr)
{
	struct identity identity = identity_of(command->spec);

	return set_ids(&identity, reterr, STEP_SET_CREDENTIALS);
}

static int drop(struct command *command, struct fault *reterr)
{
	struct identity identity = identity_of(command->spec);

	return drop_capabilities(&identity, reterr, STEP_DROP_CAPABILITIES);
}

static int verify(struct command *command, struct fault *reterr)
{
	struct identity identity = identity_of(command->spec);

	return verify_identity(&identity, reterr, STEP_VERIFY_CREDENTIALS);
}

/* By the command itself: what the task's user may not do there is not done for him. */
static int write_request_files(struct command *command, struct fault *reterr)
{
	return write_files(command->spec, reterr);
}

/* As the task's user: what it may not enter, it does not start in. */
static int enter_work_dir(struct command *command, struct fault *reterr)
{
	if (chdir(command->spec->work_dir) < 0)
		return fail(reterr, STEP_ENTER_WORK_DIR);
	return 0;
}

/* Nothing that a request can ask for fails any more: files of an earlier run give way. */
static int place_request_files(struct command *command, struct fault *reterr)
{
	return place_files(command->spec, reterr);
}

static int (*const steps[])(struct command *, struct fault *) = {
	join,		unshare_net_ns,	     raise_loopback,  enter_root, verify_joined, unshare_cgroup_ns,
	reset_process,	set_stdio,	     set_credentials, drop,	  verify,	 write_request_files,
	enter_work_dir, place_request_files,
};

struct start {
	const char *path;
	char **argv;
	char **envp;
};

static char **read_strings(struct reader *reader, char **array, char ***ret_next)
{
	uint32_t count = read_count(reader, STRING_SIZE_MIN);

	for (uint32_t i = 0; i < count; i++)
		array[i] = (char *)(uintptr_t)read_string(reader);
	array[count] = NULL;
	*ret_next = array + count + 1;
	return array;
}

/* Maps START's body, and memory for the pointers into it: there is no heap here. */
static int read_start(const struct command *command, uint64_t size, struct start *ret_start,
		      struct fault *reterr)
{
	const uint8_t *body = mmap(NULL, size, PROT_READ, MAP_PRIVATE, command->start_data, 0);
	/* Each list ends with a NULL. */
	size_t pointers = (size / STRING_SIZE_MIN + 2) * sizeof(char *);
	char **array = mmap(NULL, pointers, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct reader reader;

	if (body == MAP_FAILED || array == MAP_FAILED)
		return fail(reterr, STEP_READ_START);
	reader = read_body(body, size);
	ret_start->path = read_string(&reader);
	ret_start->argv = read_strings(&reader, array, &array);
	ret_start->envp = read_strings(&reader, array, &array);
	if (!read_finished(&reader) || !ret_start->argv[0])
		return fail_with(reterr, STEP_READ_START, EBADMSG);
	return 0;
}

/* What execve's ENOENT means for a file that is there: its interpreter is not. */
static int fail_exec(const char *file, struct fault *reterr, uint32_t index)
{
	int error = errno;
	bool is_there = error == ENOENT && faccessat(AT_FDCWD, file, F_OK, AT_EACCESS) == 0;

	errno = error;
	(void)fail_at(reterr, is_there ? STEP_FIND_INTERPRETER : STEP_EXEC, index);
	if (is_there)
		find_missing_interpreter(file, reterr->path);
	return -1;
}

/* One element of PATH and the program's name; -1: too long. An empty element is the work directory. */
static int join_path(char *ret_file, const char *element, size_t length, const char *program)
{
	size_t program_length = strlen(program);

	if (length + program_length + 3 > PATH_SIZE)
		return -1;
	if (length == 0) {
		element = ".";
		length = 1;
	}
	memcpy(ret_file, element, length);
	ret_file[length] = '/';
	memcpy(ret_file + length + 1, program, program_length + 1);
	return 0;
}

static bool is_missing(const char *file, int error)
{
	return (error == ENOENT && faccessat(AT_FDCWD, file, F_OK, AT_EACCESS) < 0) || error == ENOTDIR;
}

/* execvp's rules, without its shell: EACCES is remembered, what is missing is passed over. */
static int exec_along_path(const struct start *start, struct fault *reterr)
{
	const char *program = start->argv[0];
	const char *element = start->path;
	bool denied = false;

	for (uint32_t index = 0;; index++) {
		const char *end = strchrnul(element, ':');
		char file[PATH_SIZE];

		if (join_path(file, element, (size_t)(end - element), program) == 0) {
			(void)execve(file, start->argv, start->envp);
			if (errno == EACCES) {
				if (!denied)
					(void)fail_at(reterr, STEP_EXEC, index);
				denied = true;
			} else if (!is_missing(file, errno)) {
				return fail_exec(file, reterr, index);
			}
		}
		if (*end == '\0')
			break;
		element = end + 1;
	}
	return denied ? -1 : fail_with(reterr, STEP_FIND_COMMAND, ENOENT);
}

static int execute(const struct start *start, struct fault *reterr)
{
	const char *program = start->argv[0];

	if (program[0] == '\0')
		return fail_with(reterr, STEP_FIND_COMMAND, ENOENT);
	if (!strchr(program, '/'))
		return exec_along_path(start, reterr);
	(void)execve(program, start->argv, start->envp);
	if (is_missing(program, errno))
		return fail_with(reterr, STEP_FIND_COMMAND, errno);
	return fail_exec(program, reterr, 0);
}

static int tell(int gate, const struct fault *fault)
{
	return send(gate, fault, sizeof(*fault), MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/* Says that all is ready, and waits for START's size. */
static int await_start(int gate, uint64_t *ret_size, struct fault *reterr)
{
	const struct fault ready = {.step = STEP_OK};
	ssize_t received;

	if (tell(gate, &ready) < 0)
		return fail(reterr, STEP_READ_START);
	received = recv(gate, ret_size, sizeof(*ret_size), 0);
	if (received < 0)
		return fail(reterr, STEP_READ_START);
	if (received != (ssize_t)sizeof(*ret_size))
		return fail_with(reterr, STEP_READ_START, ECANCELED);
	return 0;
}

static int run(struct command *command, struct fault *reterr)
{
	struct start start;
	uint64_t size;

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		if (steps[i](command, reterr) < 0) {
			discard_files(command->spec);
			return -1;
		}
	}
	forget_body(command->spec);
	if (await_start(command->gate, &size, reterr) < 0 || read_start(command, size, &start, reterr) < 0)
		return -1;
	return execute(&start, reterr);
}

_Noreturn void run_command(struct command *command)
{
	struct fault fault = {0};

	(void)run(command, &fault);
	(void)tell(command->gate, &fault); /* init hears the closing, if not this */
	_exit(EXIT_NOT_EXECUTED);
}
