/* Draining a pipe into a log, at the task's end. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "output.h"
#include "sys.h"
#include "tap.h"

enum { USUAL = 65536, LARGE = 1 << 20, BLOCK = 4096, HANGS_AFTER_S = 30 };

/* A pipe of so many bytes, full, and closed at the other end if it is said so; -1: the host gives none. */
static int full_pipe(int size, bool is_closed)
{
	char *text = calloc(1, (size_t)size);
	int ends[2];

	if (!text || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		abort();
	if (fcntl(ends[1], F_SETPIPE_SZ, size) < 0 || write_all(ends[1], text, (size_t)size) < 0)
		close_fd(&ends[0]);
	free(text);
	if (is_closed)
		close_fd(&ends[1]);
	return ends[0];
}

/* One whose record lies beside its log, in memory. */
static struct output output_of(int pipe, int log, uint64_t cap, struct exit_record *record)
{
	*record = (struct exit_record){0};
	return (struct output){
		.pipe = pipe,
		.log = log,
		.cap = cap,
		.start = &record->stdout_dropped,
		.end = &record->stdout_bytes,
		.record = record,
		.record_fd = memfd_create("record", MFD_CLOEXEC),
	};
}

static void close_output(struct output *output)
{
	close_fd(&output->pipe);
	close_fd(&output->log);
	close_fd(&output->record_fd);
}

static void test_full(int size, bool is_closed, const char *what)
{
	struct exit_record record;
	struct output output =
		output_of(full_pipe(size, is_closed), memfd_create("log", MFD_CLOEXEC), LARGE, &record);

	check(drain_output(&output) == is_closed && record.stdout_bytes == (uint64_t)size &&
		      lseek(output.log, 0, SEEK_END) == size,
	      what);
	close_output(&output);
}

/* What is spliced into a pipe lies there in pieces as large as it came in: it holds more than its size says. */
static void test_spliced(void)
{
	struct exit_record record;
	struct output output = output_of(-1, memfd_create("log", MFD_CLOEXEC), LARGE, &record);
	int large = LARGE, sockets[2], ends[2], held = 0;
	char *text = calloc(1, LARGE);

	if (!text || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) < 0 ||
	    pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		abort();
	(void)setsockopt(sockets[0], SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(large));
	(void)!write(sockets[0], text, LARGE);
	while (splice(sockets[1], NULL, ends[1], NULL, LARGE, SPLICE_F_NONBLOCK) > 0)
		;
	(void)ioctl(ends[0], FIONREAD, &held);
	output.pipe = ends[0];
	drain_output(&output);
	check(held > USUAL && record.stdout_bytes == (uint64_t)held,
	      "more than the pipe's size is drained whole");
	close_output(&output);
	close_fd(&ends[1]);
	close_fd(&sockets[0]);
	close_fd(&sockets[1]);
	free(text);
}

/* As a pipe is that somebody outside the task fills as fast as it is read. */
static void test_endless(void)
{
	struct exit_record record;
	struct output output = output_of(open("/dev/zero", O_RDONLY | O_CLOEXEC), -1, LARGE, &record);

	(void)alarm(HANGS_AFTER_S);
	check(!drain_output(&output) && record.stdout_dropped >= USUAL && record.stdout_dropped < LARGE,
	      "what never ends is drained as far as a pipe can hold, and was not all");
	(void)alarm(0);
	close_output(&output);
}

/* Whether it has ended is asked of a pipe that has nothing in it, and of one whose end was seen before. */
static void test_empty(void)
{
	struct exit_record record;
	struct output output = output_of(-1, memfd_create("log", MFD_CLOEXEC), LARGE, &record);
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		abort();
	output.pipe = ends[0];
	check(!drain_output(&output),
	      "a pipe that somebody can still write to has not been drained to its end");
	close_fd(&ends[1]);
	check(drain_output(&output), "one that nobody can write to any more has");
	check(output.pipe < 0 && drain_output(&output), "and that is known of it from then on");
	close_output(&output);
}

/* The text that is written: at each offset its own, so that what is kept shows where it was written. */
static char text_at(uint64_t offset)
{
	return (char)(1 + offset / 8 % 251);
}

static void write_text(int fd, uint64_t offset, size_t size)
{
	char text[USUAL];

	for (size_t i = 0; i < size; i++)
		text[i] = text_at(offset + i);
	if (write_all(fd, text, size) < 0)
		abort();
}

/* Whether the log has all from `start` to `end` in its place, and before that no more than a block. */
static bool holds(int log, uint64_t start, uint64_t end)
{
	off_t next = lseek(log, 0, SEEK_CUR), data = lseek(log, 0, SEEK_DATA);
	off_t first = (off_t)(start / BLOCK * BLOCK);
	char text[BLOCK];

	(void)lseek(log, next, SEEK_SET);
	while (start < end) {
		size_t most = end - start < BLOCK ? (size_t)(end - start) : BLOCK;
		ssize_t size = pread(log, text, most, (off_t)start);

		for (ssize_t i = 0; i < size; i++) {
			if (text[i] != text_at(start + (uint64_t)i))
				return false;
		}
		if (size <= 0)
			return false;
		start += (uint64_t)size;
	}
	return data >= first;
}

static uint64_t kept(const struct exit_record *record)
{
	return record->stdout_bytes - record->stdout_dropped;
}

/* So much is written in pieces of `piece`, and the record on disk says at each time what the log holds. */
static void test_cap(uint64_t cap, size_t piece, const char *what)
{
	enum { PIECES = 100 };
	struct exit_record record, said;
	struct output output = output_of(-1, memfd_create("log", MFD_CLOEXEC), cap, &record);
	int ends[2];
	bool whole = pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0;

	output.pipe = ends[0];
	for (uint64_t i = 0; i < PIECES && whole; i++) {
		uint64_t written = (i + 1) * piece;

		write_text(ends[1], i * piece, piece);
		drain_output(&output);
		whole = record.stdout_bytes == written && kept(&record) <= cap &&
			kept(&record) + cap / 16 + BLOCK > (written < cap ? written : cap) &&
			holds(output.log, record.stdout_dropped, written);
		if (record.stdout_dropped > 0)
			whole = whole && pread(output.record_fd, &said, sizeof(said), 0) == sizeof(said) &&
				said.stdout_dropped == record.stdout_dropped &&
				said.checksum == record_checksum(&said);
	}
	check(whole, what);
	close_fd(&ends[1]);
	close_output(&output);
}

static bool write_text_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool written = fd >= 0 && write_all(fd, text, strlen(text)) == 0;

	close_fd(&fd);
	return written;
}

/* Of a plain user they are in a user namespace, in which he may mount. */
static bool enter_own_mounts(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char uids[32], gids[32];

	(void)snprintf(uids, sizeof(uids), "0 %u 1", uid);
	(void)snprintf(gids, sizeof(gids), "0 %u 1", gid);
	if (unshare(uid == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) < 0)
		return false;
	if (uid != 0 &&
	    (!write_text_file("/proc/self/setgroups", "deny") ||
	     !write_text_file("/proc/self/uid_map", uids) || !write_text_file("/proc/self/gid_map", gids)))
		return false;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* A file system of so many bytes, which nobody else sees. */
static int small_disk(size_t size)
{
	char path[] = "/tmp/stockade-output-XXXXXX", options[32];
	int directory;

	(void)snprintf(options, sizeof(options), "size=%zu", size);
	if (!mkdtemp(path) || mount("none", path, "tmpfs", 0, options) < 0)
		abort();
	directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)umount2(path, MNT_DETACH);
	(void)rmdir(path);
	return directory;
}

static void test_full_disk(void)
{
	enum { PIECES = 64 };
	struct exit_record record;
	int disk = small_disk(4 * USUAL), ends[2];
	int log = openat(disk, "log", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct output output = output_of(-1, log, LARGE, &record);
	bool whole = pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0;

	output.pipe = ends[0];
	for (uint64_t i = 0; i < PIECES && whole; i++) {
		write_text(ends[1], i * USUAL / 2, USUAL / 2);
		drain_output(&output);
		whole = record.stdout_bytes == (i + 1) * USUAL / 2 && kept(&record) > 0 &&
			holds(log, record.stdout_dropped, record.stdout_bytes);
	}
	check(whole && record.stdout_dropped > 0, "a full disk loses the oldest");
	close_fd(&ends[1]);
	close_output(&output);
	close_fd(&disk);
}

/* The last page of the disk is another's: nothing can be kept, until there is room again. */
static void test_disk_of_others(void)
{
	struct exit_record record;
	int disk = small_disk(USUAL), ends[2];
	int log = openat(disk, "log", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int other = openat(disk, "other", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct output output = output_of(-1, log, LARGE, &record);
	bool lost, found;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		abort();
	output.pipe = ends[0];
	(void)posix_fallocate(other, 0, USUAL);
	write_text(ends[1], 0, USUAL / 2);
	drain_output(&output);
	lost = record.stdout_bytes == USUAL / 2 && kept(&record) == 0;
	(void)!ftruncate(other, 0);
	write_text(ends[1], USUAL / 2, USUAL / 4);
	drain_output(&output);
	found = kept(&record) == USUAL / 4 && holds(log, USUAL / 2, USUAL / 2 + USUAL / 4);
	check(lost && found,
	      "where others have all the room, all is lost, and counted; and kept again when there is room");
	close_fd(&other);
	close_fd(&ends[1]);
	close_output(&output);
	close_fd(&disk);
}

int main(void)
{
	test_full(USUAL, false,
		  "a full pipe is drained whole, but not to its end, where somebody has the other one");
	test_full(LARGE, false, "one that the task has made larger, too");
	test_full(USUAL, true, "one that is closed is drained to its end");
	test_full(LARGE, true, "and one that was made larger");
	test_empty();
	test_spliced();
	test_endless();
	test_cap(LARGE, 1, "less than the cap is kept");
	test_cap(LARGE, USUAL, "of more than the cap the newest is kept, where it was written");
	test_cap(USUAL, 1000, "and of a smaller one");
	test_cap(BLOCK, 1000, "and of the smallest");
	test_cap(BLOCK, USUAL, "and of pieces larger than that");
	if (!enter_own_mounts())
		abort();
	test_full_disk();
	test_disk_of_others();
	return tap_end();
}
