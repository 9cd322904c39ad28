/* Records, cgroup lines, and trees that are embedded and removed, on real
 * files. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroups.h"
#include "embed.h"
#include "proc.h"
#include "protocol.h"
#include "record.h"
#include "remove.h"
#include "sys.h"
#include "tap.h"
#include "taskdir.h"

static int work = -1;

static void put_file(const char *path, const char *text, mode_t mode)
{
	int fd = openat(work, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || write_all(fd, text, strlen(text)) < 0 || fchmod(fd, mode) < 0)
		abort();
	close_fd(&fd);
}

static void make_dir(const char *path)
{
	if (mkdirat(work, path, 0755) < 0)
		abort();
}

static void test_cgroup_lines(void)
{
	const char *text = "9:name=systemd:/\n4:memory:/stockade/a\n1:cpu,cpuacct:/"
			   "stockade/a\n0::/stockade/a\n";

	check(cgroup_lines_name(text, "/stockade/a", 3), "every joined hierarchy is found");
	check(!cgroup_lines_name(text, "/stockade/a", 4), "one that is missing is missed");
	check(!cgroup_lines_name(text, "/stockade", 1), "a path above is not the path");
	check(!cgroup_lines_name("0::/stockade/ab\n", "/stockade/a", 1), "a longer name is not the name");
	check(!cgroup_lines_name("", "/stockade/a", 1), "nothing is found in nothing");
}

static void test_stat(void)
{
	const char *stat = "42 (a) name) 1 (2) S 1 42 42 0 -1 4194304 89";
	char text[8];

	check(strncmp(stat_field(stat, 3), "S ", 2) == 0, "the state follows a name with brackets");
	check(strncmp(stat_field(stat, 9), "4194304 ", 8) == 0, "a later field is found");
	check(!stat_field(stat, 11) && !stat_field("", 3), "one that is not there is not");
	put_file("text", "longer than that", 0600);
	check(read_text(work, "text", text, sizeof(text)) == 0 && strcmp(text, "longer ") == 0,
	      "a file is read as far as there is room");
	check(read_text(work, "no-text", text, sizeof(text)) < 0 && errno == ENOENT,
	      "one that is missing is an error");
}

static void test_record(void)
{
	struct record_fds fds;
	struct exit_record record = {.flags = EXIT_ENDED | EXIT_STARTED, .wait_status = 0x0700};
	struct exit_record read_back = {0};
	struct fault fault;
	char path[PATH_MAX];
	int dir = -1, fd = -1;

	make_dir("record");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/record", work);
	check(open_record(path, &fds, &dir, &fault) == 0, "a record is made");
	fd = openat(dir, EXIT_RECORD_NAME, O_RDONLY | O_CLOEXEC);
	check(read(fd, &read_back, sizeof(read_back)) == (ssize_t)sizeof(read_back), "it is whole at once");
	check(read_back.flags == 0 && read_back.checksum == record_checksum(&read_back), "and pending");
	check(write_record(fds.exit, &record) == 0, "the end is written over it");
	check(pread(fd, &read_back, sizeof(read_back), 0) == (ssize_t)sizeof(read_back) &&
		      memcmp(&record, &read_back, sizeof(record)) == 0,
	      "and read back as it was written");
	read_back.wait_status++;
	check(read_back.checksum != record_checksum(&read_back), "a changed byte is seen by the checksum");
	close_fd(&fd);
	close_fd(&dir);
	close_fd(&fds.exit);
	close_fd(&fds.log[0]);
	close_fd(&fds.log[1]);
}

static void test_mount_points(void)
{
	int fd = make_mount_point(work, "/a/b/file", false);
	struct stat status;

	check(fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode), "a file to mount on is made");
	close_fd(&fd);
	fd = make_mount_point(work, "/a/b/dir", true);
	check(fd >= 0 && fstat(fd, &status) == 0 && S_ISDIR(status.st_mode),
	      "a directory to mount on is made");
	close_fd(&fd);
	check(symlinkat("/etc", work, "a/link") == 0, "where a link lies");
	fd = make_mount_point(work, "/a/link/passwd", false);
	check(fd < 0, "it is not followed");
	check(make_mount_point(work, "/", true) < 0, "the root itself is no place");
}

static void test_embed(void)
{
	struct mount_spec mount = {.target = "/lib/tree", .flags = MOUNT_LINK};
	struct spec spec = {.mount_count = 1, .mounts = &mount, .link_bytes = 1024};
	struct stat status, linked;
	struct fault fault = {0};
	char source[PATH_MAX];
	int task;

	make_dir("tree");
	make_dir("tree/sub");
	put_file("tree/sub/program", "text", 04755);
	check(symlinkat("/etc/passwd", work, "tree/link") == 0, "a tree with a link");
	check(mkfifoat(work, "tree/fifo", 0600) == 0, "and a fifo");
	make_dir("task");
	task = openat(work, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(source, sizeof(source), "/proc/self/fd/%d", work);
	mount.source = realpath(source, NULL);
	(void)snprintf(source, sizeof(source), "%s/tree", mount.source);
	free((void *)(uintptr_t)mount.source);
	mount.source = source;
	check(embed_trees(&spec, task, &fault) == 0, "is embedded");
	check(fstatat(work, "tree/sub/program", &status, 0) == 0 &&
		      fstatat(task, "lib/tree/sub/program", &linked, 0) == 0 &&
		      status.st_ino == linked.st_ino,
	      "its files are the same files");
	check(status.st_mode == linked.st_mode && (linked.st_mode & S_ISUID),
	      "with mode and owner untouched");
	check(fstatat(task, "lib/tree/link", &linked, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(linked.st_mode),
	      "links are kept as links");
	check(fstatat(task, "lib/tree/fifo", &linked, AT_SYMLINK_NOFOLLOW) < 0, "fifos are skipped");
	check(embed_trees(&spec, task, &fault) == 0, "what an earlier run left is replaced");
	mount.source = "/nowhere/at/all";
	check(embed_trees(&spec, task, &fault) < 0 && fault.error == ENOENT, "a missing source is an error");
	mount.flags |= MOUNT_OPTIONAL;
	check(embed_trees(&spec, task, &fault) == 0, "unless it is optional");
	close_fd(&task);
}

/* Deeper than any path can name, and than there are descriptors for. */
static void make_deep(const char *name, int depth)
{
	int dir = openat(work, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int level = 0; level < depth; level++) {
		int child;

		if (mkdirat(dir, level == 0 ? name : "d", 0755) < 0)
			abort();
		child = openat(dir, level == 0 ? name : "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close_fd(&dir);
		dir = child;
	}
	close_fd(&dir);
}

static void test_remove(void)
{
	struct stat status;

	check(remove_entry(work, "not-there") == 0, "what is not there need not go");
	make_dir("full");
	make_dir("full/sub");
	put_file("full/sub/file", "x", 0000);
	put_file("outside", "kept", 0600);
	check(symlinkat("../outside", work, "full/link") == 0, "a link that leads out");
	check(remove_entry(work, "full") == 0 && fstatat(work, "full", &status, 0) < 0, "a tree goes");
	check(fstatat(work, "outside", &status, 0) == 0, "and what its link led to stays");
	make_deep("deep", 5000);
	check(remove_entry(work, "deep") == 0 && fstatat(work, "deep", &status, 0) < 0, "a deep tree goes");
}

int main(void)
{
	char directory[] = "/tmp/stockade-native-XXXXXX";

	if (!mkdtemp(directory))
		return 2;
	work = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	test_cgroup_lines();
	test_stat();
	test_record();
	test_mount_points();
	test_embed();
	test_remove();
	close_fd(&work);
	work = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(remove_entry(work, strrchr(directory, '/') + 1) == 0, "nothing is left");
	close_fd(&work);
	return tap_end();
}
