/* Protobuf's wire format, read and written without structs: envelopes, the schema walk and slices of the agent's bytes.
 * Parsers are pure functions of (bytes, length). See https://protobuf.dev/programming-guides/encoding/. */
#pragma once

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct wire_reader {
	const uint8_t *p;
	const uint8_t *end;
};

struct wire_field {
	uint32_t number;
	enum wire_type type;
	uint64_t value;	     /* WIRE_VARINT, WIRE_FIXED64, WIRE_FIXED32 */
	const uint8_t *data; /* WIRE_BYTES: the payload, inside the reader's bytes */
	size_t len;
	const uint8_t *begin; /* the whole field, tag included: begin .. reader->p */
};

static inline struct wire_reader wire_reader(const void *data, size_t len)
{
	/* NULL + 0 is undefined, and an empty message may well be NULL. */
	return (struct wire_reader){.p = data, .end = len > 0 ? (const uint8_t *)data + len : data};
}

/* 1 and a field, 0 at the end, -EPROTO for anything malformed (groups included: the schema has none). */
int wire_next(struct wire_reader *reader, struct wire_field *ret) __attribute__((nonnull, warn_unused_result));
/* One bare varint, as packed fields hold them. 1, 0 at the end, -EPROTO. */
int wire_varint_long(struct wire_reader *reader, uint64_t *ret) __attribute__((nonnull, warn_unused_result));
__attribute__((nonnull, warn_unused_result)) static inline int wire_varint(struct wire_reader *reader, uint64_t *ret)
{
	/* Most have one byte. */
	if (reader->p == reader->end || *reader->p >= 0x80)
		return wire_varint_long(reader, ret);
	*ret = *reader->p++;
	return 1;
}

static inline int64_t wire_zigzag(uint64_t v)
{
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

/* The way back, of a signed number's bits. */
static inline uint64_t wire_to_zigzag(uint64_t v)
{
	return v << 1 ^ (0 - (v >> 63));
}

#define WIRE_VARINT_MAX 10 /* bytes */

/* Writes a varint to where there is room for any; returns what is behind it. */
static inline uint8_t *wire_store_varint(uint8_t *to, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*to++ = (uint8_t)(v | 0x80);
	*to++ = (uint8_t)v;
	return to;
}

static inline double wire_double(uint64_t bits)
{
	union {
		uint64_t u;
		double d;
	} c = {.u = bits};
	return c.d;
}

static inline uint64_t wire_double_bits(double d)
{
	union {
		double d;
		uint64_t u;
	} c = {.d = d};
	return c.u;
}

/* Valid UTF-8, no surrogates, no overlong forms, nothing above U+10FFFF. protobuf-c does not check it. */
bool wire_utf8(const uint8_t *data, size_t len);

/* 0, -ENOMEM or -EMSGSIZE, as buf_append(): then the buffer is as it was, without half a field. */
int wire_put_tag(struct buf *b, uint32_t number, enum wire_type type) __attribute__((nonnull, warn_unused_result));
int wire_put_varint(struct buf *b, uint64_t v) __attribute__((nonnull, warn_unused_result));
int wire_put_uint(struct buf *b, uint32_t number, uint64_t v) __attribute__((nonnull, warn_unused_result));
/* type is WIRE_FIXED64 or WIRE_FIXED32. */
int wire_put_fixed(struct buf *b, uint32_t number, enum wire_type type, uint64_t bits)
	__attribute__((nonnull, warn_unused_result));
int wire_put_double(struct buf *b, uint32_t number, double value) __attribute__((nonnull, warn_unused_result));
int wire_put_bytes(struct buf *b, uint32_t number, const void *data, size_t len)
	__attribute__((nonnull(1), warn_unused_result));
