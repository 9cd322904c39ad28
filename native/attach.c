#define _GNU_SOURCE
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exit-record.h"
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

/* -1 with errno. A file with a second name may be locked by whoever has that. */
static int open_exit_record(const char *record_dir)
{
	int dir = open(record_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int fd = dir < 0 ? -1 : openat(dir, EXIT_RECORD_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat stat;

	close_fd(&dir);
	if (fd >= 0 && (fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode) || stat.st_nlink != 1)) {
		close_fd(&fd);
		errno = ESRCH;
	}
	return fd;
}

/* The pid of the process that has locked the file; -1 with errno. */
static pid_t holder_of(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(fd, F_GETLK, &lock) < 0)
		return -1;
	errno = ESRCH;
	return lock.l_type == F_WRLCK && lock.l_pid > 0 ? lock.l_pid : -1;
}

/* A lock goes with its process: the pidfd is the holder's if its pid has the lock afterwards too. */
static int identify_holder(int fd, struct process_id *ret_id)
{
	pid_t pid = holder_of(fd);
	int pidfd = pid < 0 ? -1 : sys_pidfd_open(pid);
	int result = pidfd < 0 ? -1 : identify_process(pidfd, ret_id);

	if (result == 0 && holder_of(fd) != ret_id->pid) {
		errno = ESRCH;
		result = -1;
	}
	close_fd(&pidfd);
	return result;
}

int find_init(const char *record_dir, struct process_id *ret_id)
{
	int fd = open_exit_record(record_dir);
	int result = fd < 0 ? -1 : identify_holder(fd, ret_id);

	if (result < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
		errno = ESRCH;
	close_fd(&fd);
	return result;
}
