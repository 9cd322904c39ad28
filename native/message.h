/*
 * Reads and writes the bodies of protocol.h. Reading is total: whatever the bytes, a
 * reader yields a field or marks itself bad, and never reaches beyond its end.
 */
#ifndef STOCKADE_MESSAGE_H
#define STOCKADE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"

enum message_type {
#define MESSAGE(name, number) MESSAGE_##name = number,
	TO_LAUNCHER(MESSAGE) TO_DAEMON(MESSAGE)
#undef MESSAGE
};

/* A string is its size and its NUL at least. */
enum { STRING_SIZE_MIN = 5 };

struct header {
	uint32_t size;
	uint32_t type;
	uint64_t task;
};

_Static_assert(sizeof(struct header) == 16, "the header has no padding");

struct reader {
	const uint8_t *next;
	const uint8_t *end;
	bool bad;
};

struct reader read_body(const uint8_t *body, size_t size);
uint32_t read_u32(struct reader *reader);
uint64_t read_u64(struct reader *reader);
/* Points into the body; "" when bad. */
const char *read_string(struct reader *reader);
/* Points into the body. */
const uint8_t *read_bytes(struct reader *reader, size_t *ret_size);
/* A list's count; bad if so many items of at least `least` bytes cannot follow. */
uint32_t read_count(struct reader *reader, size_t least);
/* True: every field was there, and nothing after them. */
bool read_finished(const struct reader *reader);

/* Of what goes to the daemon the largest is FAULT, with its path. */
#define WRITER_SIZE 320

struct writer {
	uint8_t bytes[WRITER_SIZE];
	size_t size;
};

void begin_message(struct writer *writer, enum message_type type, uint64_t task);
void write_u32(struct writer *writer, uint32_t value);
/* As far as its first NUL, and no further than size. */
void write_string(struct writer *writer, const char *text, size_t size);
void write_u64(struct writer *writer, uint64_t value);
/* Fills in the size of the body. */
void end_message(struct writer *writer);

#endif
