#define _GNU_SOURCE
#include "interpreter.h"

#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys.h"

/* As many interpreters of interpreters as the kernel follows. */
enum { DEPTH_MAX = 5 };

/* "#! path argument", as the kernel's binfmt_script has it. */
static bool read_script(const char *head, char *ret_path)
{
	const char *name = head + 2 + strspn(head + 2, " \t");
	size_t length = strcspn(name, " \t\n");

	memcpy(ret_path, name, length);
	ret_path[length] = '\0';
	return length > 0;
}

/* The PT_INTERP of an ELF file of either class; each number in it may be a lie. */
static bool read_elf(int fd, const char *head, char *ret_path)
{
	bool is_64 = head[EI_CLASS] == ELFCLASS64;
	Elf64_Ehdr large;
	Elf32_Ehdr small;

	memcpy(&large, head, sizeof(large));
	memcpy(&small, head, sizeof(small));
	for (unsigned i = 0; i < (is_64 ? large.e_phnum : small.e_phnum); i++) {
		size_t size = is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
		uint64_t at = (is_64 ? large.e_phoff : small.e_phoff) + i * size, offset, length;
		union {
			Elf64_Phdr large;
			Elf32_Phdr small;
		} segment;

		if (pread(fd, &segment, size, (off_t)at) != (ssize_t)size)
			return false;
		offset = is_64 ? segment.large.p_offset : segment.small.p_offset;
		length = is_64 ? segment.large.p_filesz : segment.small.p_filesz;
		/* The first field of both. */
		if (segment.large.p_type == PT_INTERP)
			return length < FAULT_PATH_SIZE &&
			       pread(fd, ret_path, length, (off_t)offset) == (ssize_t)length;
	}
	return false;
}

static bool read_interpreter(const char *file, char *ret_path)
{
	char head[FAULT_PATH_SIZE] = {0};
	struct stat status;
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	bool found = false;

	memset(ret_path, 0, FAULT_PATH_SIZE);
	if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
	    read(fd, head, sizeof(head) - 1) > 0) {
		if (memcmp(head, "#!", 2) == 0)
			found = read_script(head, ret_path);
		else if (memcmp(head, ELFMAG, SELFMAG) == 0)
			found = read_elf(fd, head, ret_path);
	}
	close_fd(&fd);
	return found;
}

void find_missing_interpreter(const char *file, char ret_path[FAULT_PATH_SIZE])
{
	char path[FAULT_PATH_SIZE];

	for (int depth = 0; depth < DEPTH_MAX && read_interpreter(file, ret_path); depth++) {
		if (faccessat(AT_FDCWD, ret_path, F_OK, AT_EACCESS) < 0)
			return;
		memcpy(path, ret_path, sizeof(path));
		file = path;
	}
	ret_path[0] = '\0';
}
