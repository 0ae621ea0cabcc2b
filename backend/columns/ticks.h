/* The one timestamp column of a host's chunk, and what else a snapshot's header says, as a block of its own. */
#pragma once

#include "backend/columns/columns.h"
#include "common/buf.h"

/* Appends: 0, -EMSGSIZE (more ticks or starts of agents than the limits), -ENOMEM. */
int ticks_put(const struct columns_tick *ticks, uint32_t n, struct buf *out)
	__attribute__((nonnull, warn_unused_result));
/* Fills ret[n]: 0; -EBADMSG when the checksum does not fit; -EPROTO; -ENOMEM. */
int ticks_take(const uint8_t *data, size_t len, uint32_t n, struct columns_tick *ret)
	__attribute__((nonnull, warn_unused_result));

/* The same without what takes most of the time: boottime_us is 0, and received_us too unless it is asked for. */
enum ticks_some { TICKS_TIME, TICKS_RECEIVED };
int ticks_take_some(const uint8_t *data, size_t len, uint32_t n, enum ticks_some some, struct columns_tick *ret)
	__attribute__((nonnull, warn_unused_result));

/* The same (TICKS_TIME) as far as it is wanted: ticks *ret_first to *ret_end - 1, malloc'd, among which are all in
 * [from_us, to_us] if times ascend, and perhaps more. Of many ticks not all need be decoded. */
int ticks_take_within(const uint8_t *data, size_t len, uint32_t n, int64_t from_us, int64_t to_us,
		      struct columns_tick **ret, uint32_t *ret_first, uint32_t *ret_end)
	__attribute__((nonnull, warn_unused_result));

/* Looks at the checksum only: 0, -EBADMSG, -EPROTO. */
int ticks_check(const uint8_t *data, size_t len) __attribute__((nonnull, warn_unused_result));
