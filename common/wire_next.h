/* wire_next() where it is the inner loop: the walk over every snapshot that is sealed. Others call the function.
 * Where there are enough bytes they are looked at eight at a time, since lengths of numbers come as they come and no
 * processor guesses them. */
#pragma once

#include "common/wire.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define WIRE_INLINE static inline __attribute__((always_inline))
#define WIRE_FIELD_MAX 12 /* bytes that a tag and a number are looked for in */

WIRE_INLINE uint64_t wire_load(const uint8_t *p)
{
	uint64_t bytes;
	memcpy(&bytes, p, 8);
	return le64toh(bytes);
}

/* The low seven bits of each of n bytes, the first the lowest. */
WIRE_INLINE uint64_t wire_gather_sevens(uint64_t bytes, unsigned n)
{
	uint64_t v = bytes & 0x7f7f7f7f7f7f7f7full >> (64 - 8 * n);
	v = (v & 0x007f007f007f007full) | (v & 0x7f007f007f007f00ull) >> 1;
	v = (v & 0x00003fff00003fffull) | (v & 0x3fff00003fff0000ull) >> 2;
	return (v & 0x0fffffffull) | (v & 0x0fffffff00000000ull) >> 4;
}

/* Of at least ten bytes that can be read. 0: there is none, or not in as few as eight. */
WIRE_INLINE unsigned wire_varint_ahead(const uint8_t *p, uint64_t *ret)
{
	uint64_t bytes = wire_load(p), last = ~bytes & 0x8080808080808080ull;
	if (!last)
		return 0;
	unsigned n = ((unsigned)__builtin_ctzll(last) + 1) / 8;
	*ret = wire_gather_sevens(bytes, n);
	return n;
}

/* As wire_next(). Up to `limit`, at or behind the reader's end, bytes may be looked at: messages in messages are short,
 * and what stands behind them does not hurt. */
WIRE_INLINE int wire_next_inline(struct wire_reader *reader, const uint8_t *limit, struct wire_field *ret)
{
	const uint8_t *p = reader->p;
	if (p == reader->end)
		return 0;
	if (limit - p < WIRE_FIELD_MAX)
		return wire_next(reader, ret);
	/* Tags have one byte or two. */
	uint32_t bytes = (uint32_t)p[0] | (uint32_t)p[1] << 8, more = bytes >> 7 & 1;
	uint32_t tag = (bytes & 0x7f) | (bytes >> 1 & 0x3f80 & (0u - more)), type = tag & 7;
	uint64_t value;
	if (tag >> 3 == 0 || (bytes & 0x8080) == 0x8080 || type > WIRE_BYTES)
		return wire_next(reader, ret);
	p += 1 + more;
	if (type == WIRE_FIXED64) {
		if (reader->end - p < 8)
			return -EPROTO;
		*ret = (struct wire_field){
			.number = tag >> 3, .type = WIRE_FIXED64, .begin = reader->p, .value = wire_load(p)};
		reader->p = p + 8;
		return 1;
	}
	unsigned n = wire_varint_ahead(p, &value);
	p += n;
	if (n == 0 || p > reader->end)
		return wire_next(reader, ret);
	ret->number = tag >> 3;
	ret->type = (enum wire_type)type;
	ret->begin = reader->p;
	ret->value = value;
	ret->data = NULL;
	ret->len = 0;
	if (type == WIRE_BYTES) {
		if (value > (uint64_t)(reader->end - p))
			return -EPROTO;
		ret->value = 0;
		ret->data = p;
		ret->len = (size_t)value;
		p += value;
	}
	reader->p = p;
	return 1;
}
