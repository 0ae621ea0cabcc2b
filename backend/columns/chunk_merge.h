/* Chunks of one host into one: sealed hours into a day, late data into what was there, a damaged chunk into what is
 * left of it. Series by series, so that a day takes the memory of a series and not of a day. */
#pragma once

#include "backend/columns/rollup.h"
#include "common/buf.h"

#define CHUNK_MERGE_MAX 256

struct chunk_bytes {
	const uint8_t *data;
	size_t len;
};

struct chunk_merge_result {
	uint32_t ticks;
	uint64_t samples;
	uint32_t replaced;	   /* ticks left out because a later generation has one of the same time */
	uint32_t damaged_sections; /* whose directory could not be read: left out */
	uint32_t damaged_series;   /* of which the values of one chunk could not be read: those are left out */
	struct rollup_result minutes;
};

/* Chunks come in the order of their generations: of two snapshots of the same time in different chunks the later
 * chunk's is kept, whole. Only ticks in [from_us, to_us) are taken. Appends one chunk to out, with no ticks if there
 * are none. 0; -EBADMSG or -EPROTO when header or ticks of a chunk cannot be read: *ret_bad says which, and nothing was
 * appended; -ENOTSUP as chunk_open(); -EMSGSIZE over the limits of columns.h or more than CHUNK_MERGE_MAX; -ENOMEM. */
int chunk_merge(const struct chunk_bytes *chunks, uint32_t n, int64_t from_us, int64_t to_us, struct buf *out,
		struct chunk_merge_result *ret, uint32_t *ret_bad)
	__attribute__((nonnull(5, 6, 7), warn_unused_result));
struct chunk_merge_how {
	int64_t from_us, to_us;
	const struct columns_patience *patience; /* NULL: without end */
	struct buf *minutes;			 /* ROLLUP_END of them, as rollup_minutes(); NULL: none are made */
};

/* The same, and -ECANCELED when it was given up. Minutes are those of what was merged, made on the way. */
int chunk_merge_so(const struct chunk_bytes *chunks, uint32_t n, const struct chunk_merge_how *how, struct buf *out,
		   struct chunk_merge_result *ret, uint32_t *ret_bad)
	__attribute__((nonnull(3, 4, 5, 6), warn_unused_result));
