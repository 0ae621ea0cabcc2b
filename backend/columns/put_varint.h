/* A varint as wire_put_varint() writes it, inline where there is room for any: a section's directory is a dozen of
 * these for each column. */
#pragma once

#include "common/wire.h"

/* 0, -ENOMEM, -EMSGSIZE. */
__attribute__((nonnull, warn_unused_result)) static inline int put_varint(struct buf *out, uint64_t v)
{
	if (out->cap - out->len < WIRE_VARINT_MAX)
		return wire_put_varint(out, v);
	out->len = (size_t)(wire_store_varint(out->data + out->len, v) - out->data);
	return 0;
}
