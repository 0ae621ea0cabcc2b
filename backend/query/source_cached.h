/* What is decoded of chunks, out of the cache where there is one and it has it. Private to backend/query. */
#pragma once

#include "backend/query/query_ticks.h"
#include "backend/query/source_outline.h"
#include "backend/query/source_reading.h"

/* A piece, and its section once it is open: what the cache has needs neither. */
struct source_part {
	struct source_piece *piece; /* NULL: not there */
	struct section_reader *section;
	struct source_outline *outline; /* source_part_outline() */
};
void source_part_free(struct source_part *part) __attribute__((nonnull)); /* not the piece */

/* Which series of the metric there are, to part->outline. 0, source_is_damage(), another negative errno. */
int source_part_outline(struct source_reading *reading, struct source_part *part)
	__attribute__((nonnull, warn_unused_result));
/* Values of series i of the part's outline at ticks of the span, and perhaps more: either in `room`, or the cache's,
 * which *ret_hold keeps until query_cached_unref(). */
int source_part_values(struct source_reading *reading, struct source_part *part, uint32_t i, struct section_span span,
		       struct columns_values *room, const struct columns_values **ret, struct query_cached **ret_hold)
	__attribute__((nonnull, warn_unused_result));

/* Whether the cache has which series there are, and with `ticks` the ticks. What it does not keep it need not have. */
bool source_is_cached(const struct source_reading *reading, const struct source_piece *piece, bool ticks)
	__attribute__((nonnull));

/* The same of all ticks and without the cache, which the caller may change. */
int source_part_decode(const struct source_reading *reading, struct source_part *part, uint32_t i,
		       struct columns_values *room) __attribute__((nonnull, warn_unused_result));

/* The ticks of a piece: a reference for the caller. Of minutes all are known, of others those in [from_us, to_us]. 0,
 * source_is_damage(), another negative errno. */
int source_ticks(struct source_reading *reading, struct source_piece *piece, bool minutes, int64_t from_us,
		 int64_t to_us, struct query_ticks **ret) __attribute__((nonnull, warn_unused_result));
/* Whether another piece has the same ticks as this one, whose they are. 1, 0 or negative errno. */
int source_same_ticks(struct source_reading *reading, struct source_piece *piece, struct source_piece *other,
		      struct query_ticks *ticks) __attribute__((nonnull, warn_unused_result));
