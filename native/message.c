#include "message.h"

#include <string.h>

struct reader read_body(const uint8_t *body, size_t size)
{
	return (struct reader){.next = body, .end = body + size};
}

static const uint8_t *take(struct reader *reader, size_t size)
{
	const uint8_t *taken = reader->next;

	if (reader->bad || (size_t)(reader->end - reader->next) < size) {
		reader->bad = true;
		return NULL;
	}
	reader->next += size;
	return taken;
}

uint32_t read_u32(struct reader *reader)
{
	const uint8_t *bytes = take(reader, sizeof(uint32_t));
	uint32_t value = 0;

	if (bytes)
		memcpy(&value, bytes, sizeof(value));
	return value;
}

uint64_t read_u64(struct reader *reader)
{
	const uint8_t *bytes = take(reader, sizeof(uint64_t));
	uint64_t value = 0;

	if (bytes)
		memcpy(&value, bytes, sizeof(value));
	return value;
}

const char *read_string(struct reader *reader)
{
	uint32_t size = read_u32(reader);
	const uint8_t *bytes = take(reader, (size_t)size + 1);

	if (!bytes)
		return "";
	if (bytes[size] != 0 || memchr(bytes, 0, size)) {
		reader->bad = true;
		return "";
	}
	return (const char *)bytes;
}

const uint8_t *read_bytes(struct reader *reader, size_t *ret_size)
{
	uint32_t size = read_u32(reader);
	const uint8_t *bytes = take(reader, size);

	*ret_size = bytes ? size : 0;
	return bytes;
}

uint32_t read_count(struct reader *reader, size_t least)
{
	uint32_t count = read_u32(reader);

	if (reader->bad || (uint64_t)count * least > (uint64_t)(reader->end - reader->next)) {
		reader->bad = true;
		return 0;
	}
	return count;
}

bool read_finished(const struct reader *reader)
{
	return !reader->bad && reader->next == reader->end;
}

static void append(struct writer *writer, const void *bytes, size_t size)
{
	if (size > sizeof(writer->bytes) - writer->size)
		__builtin_trap(); /* a message of ours outgrew WRITER_SIZE: a bug of ours */
	memcpy(writer->bytes + writer->size, bytes, size);
	writer->size += size;
}

void begin_message(struct writer *writer, enum message_type type, uint64_t task)
{
	struct header header = {.type = type, .task = task};

	writer->size = 0;
	append(writer, &header, sizeof(header));
}

void write_u32(struct writer *writer, uint32_t value)
{
	append(writer, &value, sizeof(value));
}

void write_string(struct writer *writer, const char *text, size_t size)
{
	size_t length = strnlen(text, size);

	write_u32(writer, (uint32_t)length);
	append(writer, text, length);
	append(writer, "", 1);
}

void write_u64(struct writer *writer, uint64_t value)
{
	append(writer, &value, sizeof(value));
}

void end_message(struct writer *writer)
{
	uint32_t size = (uint32_t)(writer->size - sizeof(struct header));

	memcpy(writer->bytes, &size, sizeof(size));
}
