/* A request's files, written and put in their places, and files that are collected. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collect.h"
#include "files.h"
#include "remove.h"
#include "sys.h"
#include "tap.h"

static char work[] = "/tmp/stockade-native-XXXXXX";
static int work_fd = -1;

static const char *path_of(const char *name)
{
	static char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", work, name);
	return path;
}

static void make_dir(const char *name)
{
	if (mkdirat(work_fd, name, 0755) < 0)
		abort();
}

static void put_file(const char *name, const char *text)
{
	int fd = openat(work_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write_all(fd, text, strlen(text)) < 0)
		abort();
	close_fd(&fd);
}

static bool holds(const char *name, const char *text)
{
	char content[64] = {0};
	int fd = openat(work_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, content, sizeof(content) - 1);

	close_fd(&fd);
	return size >= 0 && strcmp(content, text) == 0;
}

static bool is_there(const char *name)
{
	struct stat status;

	return fstatat(work_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static struct file_spec file(const char *path, const char *content)
{
	return (struct file_spec){
		.path = path,
		.mode = 0640,
		.content = (const uint8_t *)content,
		.size = strlen(content),
	};
}

/* In the root that a task would have: runs in a process of its own. */
static int write_in_root(struct file_spec *files, size_t count, bool places)
{
	struct spec spec = {.file_count = count, .files = files};
	struct fault fault = {0};

	if (chroot(work) < 0 || chdir("/") < 0)
		return 99;
	(void)umask(022);
	if (write_files(&spec, &fault) < 0 || !places || place_files(&spec, &fault) < 0)
		discard_files(&spec);
	return fault.error;
}

static int in_child(struct file_spec *files, size_t count, bool places)
{
	pid_t child = fork();
	int status;

	if (child == 0)
		_exit(write_in_root(files, count, places));
	return child < 0 || waitpid(child, &status, 0) < 0 || !WIFEXITED(status) ? -1 : WEXITSTATUS(status);
}

static void test_files(void)
{
	struct file_spec files[] = {file("/local/first", "new"), file("/local/a/b/second", "2"),
				    file("/alloc/data/third", "3")};
	struct file_spec bad[] = {files[0], files[1], file("/local/dir", "4")};
	struct stat status;

	put_file("local/first", "old");
	make_dir("local/dir");
	check(in_child(bad, 3, true) == EISDIR, "a directory in the way is an error");
	check(holds("local/first", "old") && !is_there("local/a") && !is_there("local/.stockade-0.new"),
	      "of which nothing is left");
	check(in_child(files, 3, false) == 0 && holds("local/first", "old") && !is_there("local/a") &&
		      !is_there("alloc/data/.stockade-2.new"),
	      "what is not put in its place is not left either");
	bad[2] = file("/alloc/third", "4");
	check(in_child(bad, 3, true) == EINVAL, "what lies in no directory of the task's user's is refused");
	bad[2] = file("/local/a/..", "4");
	check(in_child(bad, 3, true) == EISDIR, "and what leads up");
	bad[2] = file("/local/", "4");
	check(in_child(bad, 3, true) != 0 && !is_there("local/a"), "and what has no name");
	check(in_child(files, 3, true) == 0, "files are written");
	check(holds("local/first", "new") && holds("local/a/b/second", "2") && holds("alloc/data/third", "3"),
	      "where they are to be");
	check(fstatat(work_fd, "local/a/b/second", &status, 0) == 0 && status.st_mode == (S_IFREG | 0640),
	      "with their mode");
	check(fstatat(work_fd, "local/a", &status, 0) == 0 && status.st_mode == (S_IFDIR | 0755),
	      "in directories that are for all to read");
}

/* The process gives up what it has of rights, so it is one of its own. */
static int collect(const char *path, uint64_t max_bytes, struct collected *ret_collected)
{
	struct collected *shared =
		mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child = fork();
	int status;

	if (child == 0) {
		char into[PATH_MAX];
		struct collect wanted = {
			.alloc_root = work,
			.alloc_id = "alloc1",
			.task_name = "task",
			.path = path,
			.max_bytes = max_bytes,
			.into = into,
		};
		struct fault fault = {0};

		(void)snprintf(into, sizeof(into), "%s", path_of("copy"));
		(void)collect_file(&wanted, shared, &fault);
		_exit(fault.error);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0 || !WIFEXITED(status))
		return -1;
	*ret_collected = *shared;
	(void)munmap(shared, sizeof(*shared));
	return WEXITSTATUS(status);
}

static void test_collect(void)
{
	struct collected collected;
	uid_t uid = geteuid() == 0 ? 65534 : geteuid();

	make_dir("alloc1");
	make_dir("alloc1/alloc");
	make_dir("alloc1/task");
	make_dir("alloc1/task/local");
	put_file("alloc1/task/local/out", "abcdef");
	put_file("alloc1/alloc/shared", "s");
	if (fchownat(work_fd, "alloc1/task/local", uid, (gid_t)-1, 0) < 0)
		abort();
	check(collect("/local/out", 100, &collected) == 0 && holds("copy", "abcdef") && collected.size == 6 &&
		      !collected.truncated && collected.mode == 0644,
	      "a file is collected");
	check(collect("/local/out", 6, &collected) == 0 && holds("copy", "abcdef") && !collected.truncated,
	      "one that is as large as it may be too");
	check(collect("/local/out", 4, &collected) == 0 && holds("copy", "abcd") && collected.size == 6 &&
		      collected.truncated,
	      "of a larger one what may be");
	check(collect("/alloc/shared", 9, &collected) == 0 && holds("copy", "s"), "one of all tasks");
	(void)unlinkat(work_fd, "copy", 0);
	check(symlinkat("out", work_fd, "alloc1/task/local/link") == 0 &&
		      collect("/local/link", 9, &collected) == ELOOP,
	      "a link is not followed");
	check(collect("/local/../local/out", 9, &collected) == EXDEV, "nor what leads up");
	check(collect("/local", 9, &collected) == EINVAL && collect("/tmp/x", 9, &collected) == EINVAL,
	      "what is no place of a task's is refused");
	check(!is_there("copy"), "and nothing is left of it");
}

int main(void)
{
	int tmp;

	if (!mkdtemp(work))
		return 2;
	work_fd = open(work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_dir("local");
	make_dir("alloc");
	make_dir("alloc/data");
	if (geteuid() == 0) /* who else cannot change his root */
		test_files();
	test_collect();
	close_fd(&work_fd);
	tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(remove_entry(tmp, strrchr(work, '/') + 1) == 0, "nothing is left");
	close_fd(&tmp);
	return tap_end();
}
