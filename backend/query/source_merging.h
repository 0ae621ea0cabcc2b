/* Chunks of one metric's section that become one. Private to backend/query. */
#pragma once

#include "backend/columns/rollup.h"
#include "backend/query/source_reading.h"

#define SOURCE_MERGE_AT_ONCE 64

/* Chunks that wait to become one, in the order of their generations. Zeroed it is empty. */
struct source_merging {
	struct buf parts[SOURCE_MERGE_AT_ONCE];
	uint32_t n;
	bool damaged; /* something of them could not be read, and is left out */
};

void source_merging_free(struct source_merging *m) __attribute__((nonnull));
/* All parts become the first. 0, -EBADMSG, -EMSGSIZE, -ENOMEM. */
int source_merging_run(struct source_merging *m) __attribute__((nonnull, warn_unused_result));
/* A chunk of the last generation yet; none without bytes. Its bytes move. */
int source_merging_add(struct source_merging *m, struct buf *chunk) __attribute__((nonnull, warn_unused_result));
/* The section of a stored chunk that is asked for. Damage is told to the sink, and costs that chunk. */
int source_merging_add_stored(struct source_merging *m, struct source_reading *reading, const struct store_chunk *chunk)
	__attribute__((nonnull, warn_unused_result));
/* The minutes of the first part, which is all there is: a chunk for each statistic. */
int source_merging_minutes(struct source_merging *m, struct buf out[ROLLUP_END])
	__attribute__((nonnull, warn_unused_result));
