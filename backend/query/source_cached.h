/* What is decoded of chunks, out of the cache where there is one and it has it. Private to backend/query. */
#pragma once

#include "backend/query/query_ticks.h"
#include "backend/query/source_reading.h"

/* The ticks of an open piece: a reference for the caller. 0, source_is_damage(), another negative errno. */
int source_ticks(struct source_reading *reading, const struct source_piece *piece, bool minutes,
		 struct query_ticks **ret) __attribute__((nonnull, warn_unused_result));
/* Whether another open piece has the same ticks as this one. 1, 0 or negative errno. */
int source_same_ticks(struct source_reading *reading, const struct source_piece *piece,
		      const struct source_piece *other, struct query_ticks *ticks, bool minutes)
	__attribute__((nonnull, warn_unused_result));

/* Values of series i of the piece's open section: either in `room`, or the cache's, which *ret_hold keeps until
 * query_cached_unref(). */
int source_values(struct source_reading *reading, const struct source_piece *piece, struct section_reader *section,
		  uint32_t i, struct columns_values *room, const struct columns_values **ret,
		  struct query_cached **ret_hold) __attribute__((nonnull, warn_unused_result));
