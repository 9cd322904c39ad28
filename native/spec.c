#define _GNU_SOURCE
#include "spec.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "message.h"

/* Least bytes of an item. */
enum { GROUP_SIZE = 4, MOUNT_SIZE = 2 * STRING_SIZE_MIN + 4, FILE_SIZE = STRING_SIZE_MIN + 8 };

bool has_links(const struct spec *spec)
{
	for (size_t i = 0; i < spec->mount_count; i++) {
		if (spec->mounts[i].flags & MOUNT_LINK)
			return true;
	}
	return false;
}

bool is_name(const char *name)
{
	return name[0] != '\0' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strchr(name, '/');
}

static void *array(struct reader *reader, size_t count, size_t size)
{
	void *items = calloc(count > 0 ? count : 1, size);

	if (!items)
		reader->bad = true;
	return items;
}

static void parse_groups(struct spec *spec, struct reader *reader)
{
	spec->group_count = read_count(reader, GROUP_SIZE);
	spec->groups = array(reader, spec->group_count, sizeof(*spec->groups));
	for (size_t i = 0; spec->groups && i < spec->group_count; i++)
		spec->groups[i] = read_u32(reader);
}

static void parse_cgroups(struct spec *spec, struct reader *reader)
{
	spec->cgroup_v1_count = read_count(reader, STRING_SIZE_MIN);
	spec->cgroup_v1 = array(reader, spec->cgroup_v1_count, sizeof(*spec->cgroup_v1));
	for (size_t i = 0; spec->cgroup_v1 && i < spec->cgroup_v1_count; i++)
		spec->cgroup_v1[i] = read_string(reader);
}

static void parse_mounts(struct spec *spec, struct reader *reader)
{
	spec->mount_count = read_count(reader, MOUNT_SIZE);
	spec->mounts = array(reader, spec->mount_count, sizeof(*spec->mounts));
	for (size_t i = 0; spec->mounts && i < spec->mount_count; i++) {
		spec->mounts[i].source = read_string(reader);
		spec->mounts[i].target = read_string(reader);
		spec->mounts[i].flags = read_u32(reader);
		if (spec->mounts[i].source[0] != '/' || spec->mounts[i].target[0] != '/')
			reader->bad = true;
	}
}

static void parse_time_limits(struct spec *spec, struct reader *reader)
{
	spec->timeout_ns = read_u64(reader);
	spec->cpu_time_ns = read_u64(reader);
	spec->cpu_time_file = read_string(reader);
	/* Of a limit so far off that times with it overflow none would be kept. */
	if (spec->timeout_ns > TIME_LIMIT_MAX_NS || spec->cpu_time_ns > TIME_LIMIT_MAX_NS ||
	    (spec->cpu_time_ns > 0) != (spec->cpu_time_file[0] == '/'))
		reader->bad = true;
}

static void parse_files(struct spec *spec, struct reader *reader)
{
	spec->file_count = read_count(reader, FILE_SIZE);
	spec->files = array(reader, spec->file_count, sizeof(*spec->files));
	for (size_t i = 0; spec->files && i < spec->file_count; i++) {
		struct file_spec *file = &spec->files[i];

		file->path = read_string(reader);
		file->mode = read_u32(reader);
		file->content = read_bytes(reader, &file->size);
		if (file->path[0] != '/' || file->mode > 0777)
			reader->bad = true;
	}
}

bool parse_spec(struct spec *ret_spec, const uint8_t *body, size_t size)
{
	struct reader reader = read_body(body, size);
	struct spec *spec = ret_spec;

	memset(spec, 0, sizeof(*spec));
	spec->body = body;
	spec->body_size = size;
	spec->flags = read_u32(&reader);
	spec->uid = read_u32(&reader);
	spec->gid = read_u32(&reader);
	spec->init_uid = read_u32(&reader);
	parse_groups(spec, &reader);
	spec->alloc_root = read_string(&reader);
	spec->alloc_id = read_string(&reader);
	spec->task_name = read_string(&reader);
	spec->record_dir = read_string(&reader);
	spec->hostname = read_string(&reader);
	spec->work_dir = read_string(&reader);
	spec->cgroup = read_string(&reader);
	spec->cgroup_v2 = read_string(&reader);
	parse_cgroups(spec, &reader);
	spec->tmp_bytes = read_u64(&reader);
	spec->shm_bytes = read_u64(&reader);
	spec->log_bytes = read_u64(&reader);
	spec->link_bytes = read_u64(&reader);
	parse_time_limits(spec, &reader);
	parse_mounts(spec, &reader);
	parse_files(spec, &reader);
	spec->stdin_bytes = read_bytes(&reader, &spec->stdin_size);
	return read_finished(&reader) && is_name(spec->alloc_id) && is_name(spec->task_name) &&
	       spec->alloc_root[0] == '/' && spec->record_dir[0] == '/' && spec->work_dir[0] == '/';
}

void free_spec(struct spec *spec)
{
	free(spec->groups);
	free(spec->cgroup_v1);
	free(spec->mounts);
	free(spec->files);
	memset(spec, 0, sizeof(*spec));
}

void forget_body(const struct spec *spec)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t start = ((uintptr_t)spec->body + page - 1) / page * page;
	uintptr_t end = ((uintptr_t)spec->body + spec->body_size) / page * page;

	if (end > start)
		(void)madvise((void *)start, end - start, MADV_DONTNEED);
}
