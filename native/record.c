#define _GNU_SOURCE
#include "record.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys.h"

uint64_t record_checksum(const struct exit_record *record)
{
	const uint8_t *bytes = (const uint8_t *)record;
	uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a, 64 bit: offset basis and prime */

	for (size_t i = 0; i < offsetof(struct exit_record, checksum); i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3u;
	return hash;
}

int write_record(int fd, struct exit_record *record)
{
	record->magic = EXIT_RECORD_MAGIC;
	record->version = EXIT_RECORD_VERSION;
	record->checksum = record_checksum(record);
	return pwrite(fd, record, sizeof(*record), 0) == (ssize_t)sizeof(*record) ? 0 : -1;
}

static int create_file(int dir, const char *name, mode_t mode)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);

	/* The umask is not asked: a log is for everybody who may enter its directory. */
	if (fd >= 0 && fchmod(fd, mode) < 0)
		close_fd(&fd);
	return fd;
}

/* By it the daemon finds the init of a record directory whose record cannot be read. It goes with this process. */
static int lock_file(int fd)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return fcntl(fd, F_SETLK, &whole);
}

int open_record(const char *record_dir, struct record_fds *ret_fds, int *ret_dir, struct fault *reterr)
{
	struct record_fds fds = {.exit = -1, .log = {-1, -1}};
	struct exit_record pending = {0};
	int dir = open(record_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0 || (mkdirat(dir, "log", 0700) < 0 && errno != EEXIST))
		goto failed;
	fds.exit = create_file(dir, EXIT_RECORD_NAME, 0600);
	fds.log[0] = create_file(dir, "log/stdout", 0644);
	fds.log[1] = create_file(dir, "log/stderr", 0644);
	if (fds.exit < 0 || fds.log[0] < 0 || fds.log[1] < 0 || lock_file(fds.exit) < 0 ||
	    write_record(fds.exit, &pending) < 0)
		goto failed;
	*ret_fds = fds;
	*ret_dir = dir;
	return 0;
failed:
	(void)fail(reterr, STEP_OPEN_RECORD);
	close_fd(&dir);
	close_fd(&fds.exit);
	close_fd(&fds.log[0]);
	close_fd(&fds.log[1]);
	return -1;
}
