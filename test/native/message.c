/* Reading the daemon's messages: whatever the bytes, a field or a refusal, and
 * nothing beyond the end. */
#include "message.h"

#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "collect.h"
#include "spec.h"
#include "tap.h"

struct body {
	uint8_t bytes[1024];
	size_t size;
};

static void put_u32(struct body *body, uint32_t value)
{
	memcpy(body->bytes + body->size, &value, sizeof(value));
	body->size += sizeof(value);
}

static void put_u64(struct body *body, uint64_t value)
{
	memcpy(body->bytes + body->size, &value, sizeof(value));
	body->size += sizeof(value);
}

static void put_string(struct body *body, const char *text)
{
	size_t size = strlen(text);

	put_u32(body, (uint32_t)size);
	memcpy(body->bytes + body->size, text, size + 1);
	body->size += size + 1;
}

struct times {
	uint64_t timeout_ns, cpu_time_ns;
	const char *cpu_time_file;
};

static void put_bytes(struct body *body, const char *bytes, uint32_t size)
{
	put_u32(body, size);
	memcpy(body->bytes + body->size, bytes, size);
	body->size += size;
}

static struct body create_body_with(const char *alloc_id, const char *source, uint32_t mode,
				    struct times times)
{
	struct body body = {.size = 0};

	put_u32(&body, CREATE_NET_NS);
	put_u32(&body, 1000);
	put_u32(&body, 1001);
	put_u32(&body, 65533);
	put_u32(&body, 2); /* groups */
	put_u32(&body, 4);
	put_u32(&body, 24);
	put_string(&body, "/var/lib/stockade/alloc");
	put_string(&body, alloc_id);
	put_string(&body, "task");
	put_string(&body, "/var/lib/stockade/tasks/1");
	put_string(&body, "task");
	put_string(&body, "/local");
	put_string(&body, "");
	put_string(&body, "");
	put_u32(&body, 1);
	put_string(&body, "/sys/fs/cgroup/memory/a");
	put_u64(&body, 1);
	put_u64(&body, 2);
	put_u64(&body, 3);
	put_u64(&body, 4);
	put_u64(&body, times.timeout_ns);
	put_u64(&body, times.cpu_time_ns);
	put_string(&body, times.cpu_time_file);
	put_u32(&body, 1);
	put_string(&body, source);
	put_string(&body, "/bin");
	put_u32(&body, MOUNT_READ_ONLY);
	put_u32(&body, 1);
	put_string(&body, "/local/file");
	put_u32(&body, mode);
	put_bytes(&body, "a\0b", 3);
	put_bytes(&body, "input", 5);
	return body;
}

static struct body create_body(const char *alloc_id, const char *source)
{
	return create_body_with(alloc_id, source, 0640, (struct times){5, 6, "/cpu.stat"});
}

/* From a heap block of just that size, so that a read beyond the end is seen.
 */
static bool parses(const uint8_t *bytes, size_t size)
{
	uint8_t *exact = malloc(size > 0 ? size : 1);
	struct spec spec;
	bool parsed;

	memcpy(exact, bytes, size);
	parsed = parse_spec(&spec, exact, size);
	free_spec(&spec);
	free(exact);
	return parsed;
}

static void test_fields(void)
{
	struct body body = create_body("alloc", "/usr/bin");
	struct spec spec;
	bool parsed = parse_spec(&spec, body.bytes, body.size);

	check(parsed, "a whole CREATE is taken");
	check(spec.uid == 1000 && spec.gid == 1001 && spec.init_uid == 65533, "its numbers are read");
	check(spec.group_count == 2 && spec.groups[1] == 24, "its lists are read");
	check(strcmp(spec.mounts[0].target, "/bin") == 0, "its strings are read");
	check(spec.file_count == 1 && spec.files[0].mode == 0640 && spec.files[0].size == 3 &&
		      memcmp(spec.files[0].content, "a\0b", 3) == 0,
	      "its bytes are read, a NUL among them");
	check(spec.stdin_size == 5 && memcmp(spec.stdin_bytes, "input", 5) == 0, "its stdin is read");
	check(spec.tmp_bytes == 1 && spec.link_bytes == 4, "its sizes are read");
	check(spec.timeout_ns == 5 && spec.cpu_time_ns == 6 && strcmp(spec.cpu_time_file, "/cpu.stat") == 0,
	      "its time limits are read");
	free_spec(&spec);
}

static bool parses_times(uint64_t timeout_ns, uint64_t cpu_time_ns, const char *file)
{
	struct body body =
		create_body_with("alloc", "/usr/bin", 0640, (struct times){timeout_ns, cpu_time_ns, file});

	return parses(body.bytes, body.size);
}

static void test_times(void)
{
	check(parses_times(0, 0, ""), "one without time limits is taken");
	check(parses_times(TIME_LIMIT_MAX_NS, TIME_LIMIT_MAX_NS, "/x"), "one with the largest is taken");
	check(!parses_times(TIME_LIMIT_MAX_NS + 1, 0, "") && !parses_times(0, UINT64_MAX, "/x"),
	      "a limit that could overflow is refused");
	check(!parses_times(0, 1, "") && !parses_times(0, 1, "x") && !parses_times(0, 0, "/x"),
	      "a limit of CPU time without its file is refused, and the file without the limit");
}

static void test_refusals(void)
{
	struct body body = create_body("alloc", "/usr/bin");
	bool any = false;

	for (size_t size = 0; size < body.size; size++)
		any = any || parses(body.bytes, size);
	check(!any, "one that is cut short anywhere is refused");
	body.bytes[body.size++] = 0;
	check(!parses(body.bytes, body.size), "one with a byte too many is refused");
	body = create_body("..", "/usr/bin");
	check(!parses(body.bytes, body.size), "an alloc id that leads up is refused");
	body = create_body("a/b", "/usr/bin");
	check(!parses(body.bytes, body.size), "an alloc id with a slash is refused");
	body = create_body("alloc", "usr/bin");
	check(!parses(body.bytes, body.size), "a source that is relative is refused");
	body = create_body_with("alloc", "/usr/bin", 04755, (struct times){5, 6, "/cpu.stat"});
	check(!parses(body.bytes, body.size), "a file with a setuid bit is refused");
}

/* Every byte of a good message, changed to each of a few values: nothing may be
 * read beyond the end. */
static void test_mutations(void)
{
	static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
	struct body good = create_body("alloc", "/usr/bin");

	for (size_t at = 0; at < good.size; at++) {
		for (size_t i = 0; i < sizeof(values); i++) {
			struct body bad = good;

			bad.bytes[at] = values[i];
			(void)parses(bad.bytes, bad.size);
		}
	}
	check(true, "no changed byte makes it read beyond the end");
}

static struct body attach_body(uint32_t init_pid, uint32_t command_pid)
{
	struct body body = {.size = 0};

	put_u32(&body, init_pid);
	put_u64(&body, 0x100000002u);
	put_u32(&body, 5);
	put_u32(&body, command_pid);
	put_u64(&body, 4);
	return body;
}

/* As `parses`, of an ATTACH. */
static bool parses_attach(const uint8_t *bytes, size_t size)
{
	uint8_t *exact = malloc(size > 0 ? size : 1);
	struct attach attach;
	bool parsed;

	memcpy(exact, bytes, size);
	parsed = parse_attach(&attach, exact, size);
	free(exact);
	return parsed;
}

static void test_attach(void)
{
	struct body body = attach_body(1, 3);
	struct attach attach;
	bool any = false;

	check(parse_attach(&attach, body.bytes, body.size), "a whole ATTACH is taken");
	check(attach.init.pid == 1 && attach.init.start_ticks == 0x100000002u && attach.init_uid == 5,
	      "its init is read");
	check(attach.command.pid == 3 && attach.command.start_ticks == 4, "its command is read");
	for (size_t size = 0; size < body.size; size++)
		any = any || parses_attach(body.bytes, size);
	check(!any, "an ATTACH that is cut short anywhere is refused");
	body.bytes[body.size++] = 0;
	check(!parses_attach(body.bytes, body.size), "an ATTACH with a byte too many is refused");
	body = attach_body(1, 0);
	check(parses_attach(body.bytes, body.size), "an ATTACH without a command is taken");
	body = attach_body(0, 3);
	check(!parses_attach(body.bytes, body.size), "an ATTACH without an init is refused");
	body = attach_body(0xffffffffu, 3);
	check(!parses_attach(body.bytes, body.size), "an ATTACH of every process as init is refused");
	body = attach_body(1, 0xffffffffu);
	check(!parses_attach(body.bytes, body.size), "an ATTACH of every process as command is refused");
}

static struct body collect_body(const char *task_name, const char *path, uint64_t max_bytes)
{
	struct body body = {.size = 0};

	put_string(&body, "/var/lib/stockade/alloc");
	put_string(&body, "alloc");
	put_string(&body, task_name);
	put_string(&body, path);
	put_u64(&body, max_bytes);
	put_string(&body, "/var/lib/stockade/tasks/1/collected/0");
	return body;
}

/* As `parses`, of a COLLECT. */
static bool parses_collect(const struct body *body, size_t size)
{
	uint8_t *exact = malloc(size > 0 ? size : 1);
	struct collect collect;
	bool parsed;

	memcpy(exact, body->bytes, size);
	parsed = parse_collect(&collect, exact, size);
	free(exact);
	return parsed;
}

static void test_collect(void)
{
	struct body body = collect_body("task", "/local/out", 7);
	struct collect collect;
	bool any = false;

	check(parse_collect(&collect, body.bytes, body.size) && collect.max_bytes == 7 &&
		      strcmp(collect.path, "/local/out") == 0,
	      "a whole COLLECT is taken");
	for (size_t size = 0; size < body.size; size++)
		any = any || parses_collect(&body, size);
	check(!any, "a COLLECT that is cut short anywhere is refused");
	body = collect_body("..", "/local/out", 7);
	check(!parses_collect(&body, body.size), "a COLLECT of a task name that leads up is refused");
	body = collect_body("task", "local/out", 7);
	check(!parses_collect(&body, body.size), "a COLLECT of a relative path is refused");
	body = collect_body("task", "/local/out", UINT64_MAX);
	check(!parses_collect(&body, body.size), "a COLLECT of more than a file can hold is refused");
}

static void test_writer(void)
{
	struct writer writer;
	struct header header;

	begin_message(&writer, MESSAGE_HELLO, 7);
	write_u32(&writer, PROTOCOL_VERSION);
	write_u64(&writer, 1);
	end_message(&writer);
	memcpy(&header, writer.bytes, sizeof(header));
	check(header.size == 12 && header.type == MESSAGE_HELLO && header.task == 7,
	      "a message knows its size");
}

int main(void)
{
	test_fields();
	test_times();
	test_refusals();
	test_mutations();
	test_attach();
	test_collect();
	test_writer();
	return tap_end();
}
