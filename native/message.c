#include "message.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Once something does not fit, bad is set and every further read gives zero or "". */
struct reader {
	const uint8_t *at;
	const uint8_t *end;
	bool bad;
};

static uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static bool take(struct reader *reader, size_t size, const uint8_t **ret_bytes)
{
	if (reader->bad || (size_t)(reader->end - reader->at) < size) {
		reader->bad = true;
		return false;
	}
	*ret_bytes = reader->at;
	reader->at += size;
	return true;
}

static uint32_t read_u32(struct reader *reader)
{
	const uint8_t *bytes;
	return take(reader, 4, &bytes) ? get_u32(bytes) : 0;
}

static uint64_t read_u64(struct reader *reader)
{
	uint64_t low = read_u32(reader);
	return low | (uint64_t)read_u32(reader) << 32;
}

static const char *read_string(struct reader *reader)
{
	const uint8_t *bytes;
	size_t size = read_u32(reader);
	if (!take(reader, size + 1, &bytes))
		return "";
	if (memchr(bytes, '\0', size + 1) != bytes + size) {
		reader->bad = true;
		return "";
	}
	return (const char *)bytes;
}

/* A count that the rest of the body has room for, so that it may size an allocation. */
static uint32_t read_count(struct reader *reader, size_t item_size_min)
{
	uint32_t count = read_u32(reader);
	if (reader->bad || count > (size_t)(reader->end - reader->at) / item_size_min) {
		reader->bad = true;
		return 0;
	}
	return count;
}

static int finish(const struct reader *reader)
{
	if (!reader->bad && reader->at == reader->end)
		return 0;
	errno = EBADMSG;
	return -1;
}

static struct reader read_from(const uint8_t *body, size_t size)
{
	return (struct reader){.at = body, .end = body + size};
}

void message_read_header(const uint8_t bytes[MESSAGE_HEADER_SIZE], struct message_header *ret_header)
{
	ret_header->size = get_u32(bytes);
	ret_header->type = get_u32(bytes + 4);
	ret_header->task = get_u32(bytes + 8) | (uint64_t)get_u32(bytes + 12) << 32;
}

/* calloc that gives something to free for no items as well. */
static void *allocate(size_t count, size_t size)
{
	return calloc(count > 0 ? count : 1, size);
}

#define STRING_SIZE_MIN 5u /* its size and its NUL */

int message_read_create(const uint8_t *body, size_t size, struct create_spec *ret_spec)
{
	struct reader reader = read_from(body, size);
	struct create_spec spec = {0};

	spec.flags = read_u32(&reader);
	spec.uid = read_u32(&reader);
	spec.gid = read_u32(&reader);
	spec.init_uid = read_u32(&reader);
	spec.group_count = read_count(&reader, sizeof(uint32_t));
	spec.groups = allocate(spec.group_count, sizeof(*spec.groups));
	if (spec.groups == NULL)
		goto no_memory;
	for (uint32_t i = 0; i < spec.group_count; i++)
		spec.groups[i] = read_u32(&reader);
	spec.alloc_root = read_string(&reader);
	spec.alloc_id = read_string(&reader);
	spec.task_name = read_string(&reader);
	spec.record_dir = read_string(&reader);
	spec.hostname = read_string(&reader);
	spec.work_dir = read_string(&reader);
	spec.cgroup = read_string(&reader);
	spec.cgroup_v2 = read_string(&reader);
	spec.cgroup_v1_count = read_count(&reader, STRING_SIZE_MIN);
	spec.cgroup_v1 = allocate(spec.cgroup_v1_count, sizeof(*spec.cgroup_v1));
	if (spec.cgroup_v1 == NULL)
		goto no_memory;
	for (uint32_t i = 0; i < spec.cgroup_v1_count; i++)
		spec.cgroup_v1[i] = read_string(&reader);
	spec.tmp_bytes = read_u64(&reader);
	spec.shm_bytes = read_u64(&reader);
	spec.log_bytes = read_u64(&reader);
	spec.link_bytes = read_u64(&reader);
	spec.mount_count = read_count(&reader, 2 * STRING_SIZE_MIN + sizeof(uint32_t));
	spec.mounts = allocate(spec.mount_count, sizeof(*spec.mounts));
	if (spec.mounts == NULL)
		goto no_memory;
	for (uint32_t i = 0; i < spec.mount_count; i++) {
		spec.mounts[i].source = read_string(&reader);
		spec.mounts[i].target = read_string(&reader);
		spec.mounts[i].flags = read_u32(&reader);
	}
	if (finish(&reader) < 0) {
		message_free_create(&spec);
		errno = EBADMSG;
		return -1;
	}
	*ret_spec = spec;
	return 0;

no_memory:
	message_free_create(&spec);
	errno = ENOMEM;
	return -1;
}

void message_free_create(struct create_spec *spec)
{
	free(spec->groups);
	free(spec->cgroup_v1);
	free(spec->mounts);
	*spec = (struct create_spec){0};
}

static bool is_alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool message_is_name(const char *text)
{
	size_t size = 0;
	for (; text[size] != '\0'; size++) {
		bool inner = text[size] == '.' || text[size] == '_' || text[size] == '-';
		if (!is_alphanumeric(text[size]) && !(inner && size > 0))
			return false;
	}
	return size >= 1 && size <= 128;
}

static bool is_absolute(const char *path)
{
	return path[0] == '/';
}

#define NO_ID 0xffffffffu
#define HOSTNAME_SIZE_MAX 64u /* __NEW_UTS_LEN */

int message_check_create(const struct create_spec *spec)
{
	const uint32_t flags = CREATE_USER_NS | CREATE_NET_NS | CREATE_SUBIDS;
	const uint32_t mount_flags = MOUNT_READ_ONLY | MOUNT_OPTIONAL | MOUNT_LINK;
	bool good = (spec->flags & ~flags) == 0;

	if ((spec->flags & CREATE_USER_NS) == 0)
		good = good && (spec->flags & CREATE_SUBIDS) == 0 && spec->uid != 0 && spec->init_uid != 0 &&
		       spec->uid != spec->init_uid;
	good = good && spec->uid != NO_ID && spec->gid != NO_ID && spec->init_uid != NO_ID;
	good = good && is_absolute(spec->alloc_root) && is_absolute(spec->record_dir) &&
	       is_absolute(spec->work_dir);
	good = good && message_is_name(spec->alloc_id) && message_is_name(spec->task_name) &&
	       strcmp(spec->task_name, "alloc") != 0;
	good = good && strlen(spec->hostname) <= HOSTNAME_SIZE_MAX;
	good = good && (spec->cgroup[0] == '\0' || is_absolute(spec->cgroup));
	good = good && (spec->cgroup_v2[0] == '\0' || is_absolute(spec->cgroup_v2));
	for (uint32_t i = 0; good && i < spec->cgroup_v1_count; i++)
		good = is_absolute(spec->cgroup_v1[i]);
	/* A cgroup that is joined but not verified would be a hole in "set, then verify". */
	if (spec->cgroup[0] == '\0')
		good = good && spec->cgroup_v2[0] == '\0' && spec->cgroup_v1_count == 0;
	else
		good = good && (spec->cgroup_v2[0] != '\0' || spec->cgroup_v1_count > 0);
	for (uint32_t i = 0; good && i < spec->group_count; i++)
		good = spec->groups[i] != NO_ID;
	for (uint32_t i = 0; good && i < spec->mount_count; i++)
		good = is_absolute(spec->mounts[i].source) && is_absolute(spec->mounts[i].target) &&
		       (spec->mounts[i].flags & ~mount_flags) == 0;
	if (good)
		return 0;
	errno = EINVAL;
	return -1;
}

int message_read_start(const uint8_t *body, size_t size, struct start_spec *ret_spec)
{
	struct reader reader = read_from(body, size);
	struct start_spec spec = {0};

	spec.path = read_string(&reader);
	spec.argument_count = read_count(&reader, STRING_SIZE_MIN);
	spec.arguments = reader.at;
	for (uint32_t i = 0; i < spec.argument_count; i++)
		(void)read_string(&reader);
	spec.variable_count = read_count(&reader, STRING_SIZE_MIN);
	spec.variables = reader.at;
	for (uint32_t i = 0; i < spec.variable_count; i++)
		(void)read_string(&reader);
	if (spec.argument_count == 0)
		reader.bad = true;
	if (finish(&reader) < 0)
		return -1;
	*ret_spec = spec;
	return 0;
}

/* The strings have been checked by message_read_start; each brings its own NUL. */
static void list_strings(const uint8_t *at, uint32_t count, char **ret_strings)
{
	for (uint32_t i = 0; i < count; i++) {
		ret_strings[i] = (char *)(uintptr_t)(at + 4);
		at += 4 + (size_t)get_u32(at) + 1;
	}
	ret_strings[count] = NULL;
}

void message_list_start(const struct start_spec *spec, char **ret_arguments, char **ret_variables)
{
	list_strings(spec->arguments, spec->argument_count, ret_arguments);
	list_strings(spec->variables, spec->variable_count, ret_variables);
}

int message_read_signal(const uint8_t *body, size_t size, uint32_t *ret_signal)
{
	struct reader reader = read_from(body, size);
	uint32_t number = read_u32(&reader);
	if (finish(&reader) < 0)
		return -1;
	*ret_signal = number;
	return 0;
}

int message_read_remove(const uint8_t *body, size_t size, struct remove_spec *ret_spec)
{
	struct reader reader = read_from(body, size);
	struct remove_spec spec = {.scope = read_u32(&reader)};
	spec.alloc_root = read_string(&reader);
	spec.alloc_id = read_string(&reader);
	spec.task_name = read_string(&reader);
	if (finish(&reader) < 0)
		return -1;
	*ret_spec = spec;
	return 0;
}

void message_begin(struct outgoing *message, enum message_type type, uint64_t task)
{
	message->size = 0;
	message_put_u32(message, 0);
	message_put_u32(message, (uint32_t)type);
	message_put_u64(message, task);
}

void message_put_u32(struct outgoing *message, uint32_t value)
{
	for (int shift = 0; shift < 32 && message->size < sizeof(message->bytes); shift += 8)
		message->bytes[message->size++] = (uint8_t)(value >> shift);
}

void message_put_u64(struct outgoing *message, uint64_t value)
{
	message_put_u32(message, (uint32_t)value);
	message_put_u32(message, (uint32_t)(value >> 32));
}

void message_put_record(struct outgoing *message, const struct exit_record *record)
{
	message_put_u32(message, (uint32_t)record->wait_status);
	message_put_u32(message, record->flags);
	message_put_u64(message, record->started_ns);
	message_put_u64(message, record->exited_ns);
	message_put_u64(message, record->stdout_bytes);
	message_put_u64(message, record->stderr_bytes);
	message_put_u64(message, record->stdout_dropped);
	message_put_u64(message, record->stderr_dropped);
	message_put_u64(message, record->cpu_user_us);
	message_put_u64(message, record->cpu_system_us);
	message_put_u64(message, record->memory_peak_bytes);
}

void message_finish(struct outgoing *message)
{
	uint32_t size = (uint32_t)(message->size - MESSAGE_HEADER_SIZE);
	for (int i = 0; i < 4; i++)
		message->bytes[i] = (uint8_t)(size >> (8 * i));
}
