/* Small signed numbers as bits, quick to write and to read: in groups of 16, each number in as many bits as the largest
 * of its group needs. Nothing is learnt and nothing is tried out; residuals.h takes half the bytes for ten times the
 * time. Pure. */
#pragma once

#include "common/buf.h"
#include "common/wire.h"

#include <stddef.h>
#include <stdint.h>

/* Appends n numbers, each of them shifted right by `shift`: what is lost by that must be 0 in all. 0, -ENOMEM,
 * -EMSGSIZE. */
int packed_put(const int64_t *numbers, size_t n, unsigned shift, struct buf *out)
	__attribute__((nonnull, warn_unused_result));
/* Reads n numbers, as they are after the shift; without ret they are passed over. 0; -EPROTO for what was cut off or
 * has more numbers than that. */
int packed_take(struct wire_reader *reader, size_t n, int64_t *ret) __attribute__((nonnull(1), warn_unused_result));
