/* Reading the daemon's messages: whatever the bytes, a field or a refusal, and
 * nothing beyond the end. */
#include "message.h"

#include <stdlib.h>
#include <string.h>

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

static struct body create_body(const char *alloc_id, const char *source)
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
	put_u32(&body, 1);
	put_string(&body, source);
	put_string(&body, "/bin");
	put_u32(&body, MOUNT_READ_ONLY);
	return body;
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
	check(spec.tmp_bytes == 1 && spec.link_bytes == 4, "its sizes are read");
	free_spec(&spec);
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
	test_refusals();
	test_mutations();
	test_writer();
	return tap_end();
}
