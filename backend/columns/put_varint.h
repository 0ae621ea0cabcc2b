/* A varint as wire_put_varint() writes it, inline where there is room for any: a section's directory is a dozen of
 * these for each column. */
#pragma once

#include "common/wire.h"

/* 0, -ENOMEM, -EMSGSIZE. */
__attribute__((nonnull, warn_unused_result)) static inline int put_varint(struct buf *out, uint64_t v)
{
	if (out->cap - out->len < 10)
		return wire_put_varint(out, v);
	uint8_t *to = out->data + out->len;
	for (; v >= 0x80; v >>= 7)
		*to++ = (uint8_t)(v | 0x80);
	*to++ = (uint8_t)v;
	out->len = (size_t)(to - out->data);
	return 0;
}
