#include "record.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel.h"

uint64_t record_checksum(const struct exit_record *record)
{
	const uint8_t *bytes = (const uint8_t *)record;
	uint64_t hash = 0xcbf29ce484222325u;
	for (size_t i = 0; i < offsetof(struct exit_record, checksum); i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3u;
	return hash;
}

void record_begin(struct exit_record *ret_record)
{
	*ret_record = (struct exit_record){.magic = EXIT_RECORD_MAGIC, .version = EXIT_RECORD_VERSION};
}

int record_write(int fd, struct exit_record *record)
{
	record->checksum = record_checksum(record);
	ssize_t written = pwrite(fd, record, sizeof(*record), 0);
	if (written == (ssize_t)sizeof(*record))
		return 0;
	if (written >= 0)
		errno = ENOSPC;
	return -1;
}

static uint64_t microseconds(const struct timeval *time)
{
	return (uint64_t)time->tv_sec * 1000000u + (uint64_t)time->tv_usec;
}

void record_add_usage(struct exit_record *record)
{
	struct rusage usage = {0};
	(void)getrusage(RUSAGE_CHILDREN, &usage);
	record->cpu_user_us = microseconds(&usage.ru_utime);
	record->cpu_system_us = microseconds(&usage.ru_stime);
	record->memory_peak_bytes = (uint64_t)usage.ru_maxrss * 1024u;
}

/*
 * Not O_APPEND: splice(2) refuses such files. Readable by all, for the hard link in
 * /local; the directory they are in is not.
 */
static int open_log(int directory, const char *name)
{
	int fd = kernel_open_beneath(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644);
	if (fd >= 0 && fchmod(fd, 0644) < 0)
		close_fd(&fd);
	return fd;
}

int record_open(const char *directory, struct exit_record *record, int *ret_record, int *ret_log_dir,
		int ret_logs[2], struct fault *reterr)
{
	int dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return fault_errno(reterr);
	*ret_record = kernel_open_beneath(dir, EXIT_RECORD_NAME, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	if (*ret_record < 0)
		return fault_errno(reterr);
	record_begin(record);
	if (record_write(*ret_record, record) < 0)
		return fault_errno(reterr);
	if (mkdirat(dir, "log", 0700) < 0 && errno != EEXIST)
		return fault_errno(reterr);
	*ret_log_dir = kernel_open_beneath(dir, "log", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (*ret_log_dir < 0 || fchmod(*ret_log_dir, 0700) < 0)
		return fault_errno(reterr);
	ret_logs[0] = open_log(*ret_log_dir, "stdout");
	if (ret_logs[0] < 0)
		return fault_errno(reterr);
	ret_logs[1] = open_log(*ret_log_dir, "stderr");
	if (ret_logs[1] < 0)
		return fault_errno(reterr);
	close_fd(&dir);
	return 0;
}
