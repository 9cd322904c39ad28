/* What a program's head says of its interpreter, and heads that lie. */
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "interpreter.h"
#include "sys.h"
#include "tap.h"

static char told[FAULT_PATH_SIZE];

static const char *missing_of(const void *bytes, size_t size)
{
	int fd = open("program", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	if (fd < 0 || write_all(fd, bytes, size) < 0)
		abort();
	close_fd(&fd);
	memset(told, 'x', sizeof(told));
	find_missing_interpreter("program", told);
	return told;
}

static bool is_told(const char *text, const char *expected)
{
	return strcmp(missing_of(text, strlen(text)), expected) == 0;
}

static void test_scripts(void)
{
	char longest[FAULT_PATH_SIZE + 100];

	check(is_told("#!/no/such\necho", "/no/such"), "a script's is told");
	check(is_told("#! \t/no/such -e x\n", "/no/such"), "without blanks and argument");
	check(is_told("#!/no/such", "/no/such"), "one that has no line's end is, too");
	check(is_told("#!./no-such\n", "./no-such"), "a relative one is told as it is");
	check(is_told("#!/bin/sh\n", ""), "one that is there is not missing");
	check(is_told("#!program\n", ""), "nor is one that names itself");
	check(is_told("#!\n", "") && is_told("#!", "") && is_told("#", "") && is_told("", ""),
	      "no name is none");
	memset(longest, 'y', sizeof(longest));
	memcpy(longest, "#!/", 3);
	(void)missing_of(longest, sizeof(longest));
	check(strlen(told) < FAULT_PATH_SIZE, "a name is cut where the kernel cuts it");
}

struct large {
	Elf64_Ehdr header;
	Elf64_Phdr segments[2];
	char path[16];
};

struct small {
	Elf32_Ehdr header;
	Elf32_Phdr segments[2];
	char path[16];
};

static struct large large_elf(void)
{
	return (struct large){
		.header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64},
			   .e_phoff = offsetof(struct large, segments),
			   .e_phnum = 2},
		.segments = {{.p_type = PT_LOAD},
			     {.p_type = PT_INTERP, .p_offset = offsetof(struct large, path), .p_filesz = 12}},
		.path = "/no/large.so",
	};
}

static struct small small_elf(void)
{
	return (struct small){
		.header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32},
			   .e_phoff = offsetof(struct small, segments),
			   .e_phnum = 2},
		.segments = {{.p_type = PT_LOAD},
			     {.p_type = PT_INTERP, .p_offset = offsetof(struct small, path), .p_filesz = 13}},
		.path = "/no/small.so",
	};
}

static bool is_told_of_large(const struct large *elf, const char *expected)
{
	return strcmp(missing_of(elf, sizeof(*elf)), expected) == 0;
}

static void test_elf(void)
{
	struct large elf = large_elf();
	struct small small = small_elf();

	check(is_told_of_large(&elf, "/no/large.so"), "a program's is told");
	check(strcmp(missing_of(&small, sizeof(small)), "/no/small.so") == 0, "one of 32 bits, too");
	elf.segments[1].p_type = PT_LOAD;
	check(is_told_of_large(&elf, ""), "a static program has none");
}

static void test_lies(void)
{
	struct large elf = large_elf();
	size_t size = offsetof(struct large, segments) + 1;

	for (size_t cut = 0; cut <= size; cut++)
		(void)missing_of(&elf, cut);
	check(strcmp(told, "") == 0, "a program that is cut off tells nothing");
	elf.header.e_phoff = UINT64_MAX - 10;
	check(is_told_of_large(&elf, ""), "nor does one with its segments nowhere");
	elf = large_elf();
	elf.header.e_phnum = UINT16_MAX;
	elf.segments[1].p_type = PT_LOAD;
	check(is_told_of_large(&elf, ""), "or with more segments than it has");
	elf = large_elf();
	elf.segments[1].p_filesz = FAULT_PATH_SIZE;
	check(is_told_of_large(&elf, ""), "or with a longer path than can be told");
	elf.segments[1].p_filesz = UINT64_MAX;
	check(is_told_of_large(&elf, ""), "or with the longest");
	elf = large_elf();
	elf.segments[1].p_offset = INT64_MAX;
	check(is_told_of_large(&elf, ""), "or with its path nowhere");
}

static void test_no_program(void)
{
	if (mkfifo("fifo", 0700) < 0)
		abort();
	find_missing_interpreter("fifo", told);
	check(strcmp(told, "") == 0, "a fifo is not waited for");
	find_missing_interpreter("/no/such", told);
	check(strcmp(told, "") == 0, "what is not there names none");
	find_missing_interpreter("/dev/zero", told);
	check(strcmp(told, "") == 0, "nor does a device");
}

int main(void)
{
	char path[] = "/tmp/stockade-interpreter-XXXXXX";

	if (!mkdtemp(path) || chdir(path) < 0)
		abort();
	test_scripts();
	test_elf();
	test_lies();
	test_no_program();
	(void)unlink("program");
	(void)unlink("fifo");
	(void)rmdir(path);
	return tap_end();
}
