/* A varint as wire_put_varint() writes it, inline where it has one byte and there is room for it: a section's directory
 * is a dozen of these for each column. */
#pragma once

#include "common/wire.h"

/* 0, -ENOMEM, -EMSGSIZE. */
__attribute__((nonnull, warn_unused_result)) static inline int put_varint(struct buf *out, uint64_t v)
{
	if (v >= 0x80 || out->len == out->cap)
		return wire_put_varint(out, v);
	out->data[out->len++] = (uint8_t)v;
	return 0;
}
