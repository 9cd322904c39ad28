/* Joining the task's cgroup, and the proof of it. */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "kernel.h"
#include "sandbox.h"

int cgroups_open(const struct create_spec *spec, int *ret_v2, int *ret_v1, struct fault *reterr)
{
	if (spec->cgroup_v2[0] != '\0') {
		*ret_v2 = open(spec->cgroup_v2, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (*ret_v2 < 0)
			return fault_errno(reterr);
	}
	for (uint32_t i = 0; i < spec->cgroup_v1_count; i++) {
		int dir = open(spec->cgroup_v1[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return fault_at(reterr, i);
		ret_v1[i] = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
		int error = errno;
		close_fd(&dir);
		errno = error;
		if (ret_v1[i] < 0)
			return fault_at(reterr, i);
	}
	return 0;
}

/* "0" is the writer itself (cgroups(7)): no pid has to be translated between namespaces. */
int cgroups_join(const struct sandbox *box, struct fault *reterr)
{
	for (uint32_t i = 0; i < box->spec->cgroup_v1_count; i++)
		if (write(box->cgroup_v1[i], "0", 1) != 1)
			return fault_at(reterr, i);
	return 0;
}

/* Lines are "<hierarchy>:<controllers>:<path>"; hierarchy 0 is v2. */
bool cgroups_text_matches(const char *text, const char *path, bool v2, uint32_t v1_count)
{
	uint32_t v1_matches = 0;
	bool v2_matches = false;
	size_t path_size = strlen(path);
	while (*text != '\0') {
		size_t size = strcspn(text, "\n");
		const char *first = memchr(text, ':', size);
		const char *second =
			first == NULL ? NULL : memchr(first + 1, ':', size - (size_t)(first + 1 - text));
		if (second != NULL) {
			size_t shown_size = size - (size_t)(second + 1 - text);
			bool same = shown_size == path_size && memcmp(second + 1, path, path_size) == 0;
			bool is_v2 = first == text + 1 && text[0] == '0' && second == first + 1;
			if (same && is_v2)
				v2_matches = true;
			else if (same)
				v1_matches++;
		}
		text += size;
		if (*text == '\n')
			text++;
	}
	return v1_matches >= v1_count && (v2_matches || !v2);
}

/* Hierarchies times the longest path, with room to spare; more than fits does not match. */
#define CGROUP_TEXT_MAX (64 * 1024)

int cgroups_verify(const struct sandbox *box, struct fault *reterr)
{
	const struct create_spec *spec = box->spec;
	static char text[CGROUP_TEXT_MAX];
	size_t size = 0;
	ssize_t got;

	if (spec->cgroup[0] == '\0')
		return 0;
	int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fault_errno(reterr);
	while ((got = read(fd, text + size, sizeof(text) - 1 - size)) > 0)
		size += (size_t)got;
	int error = errno;
	close_fd(&fd);
	if (got < 0)
		return fault_is(reterr, error);
	text[size] = '\0';
	bool v2 = spec->cgroup_v2[0] != '\0';
	/* EXDEV: it is somewhere else. */
	return cgroups_text_matches(text, spec->cgroup, v2, spec->cgroup_v1_count) ? 0 : fault_is(reterr, EXDEV);
}
