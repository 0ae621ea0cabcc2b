/* Texts of snapshots while a chunk is gathered: which rows there were, at which ticks, and what they said when it was
 * something else than before. Private to the builder. */
#pragma once

#include "backend/columns/texts.h"
#include "common/schema/trail.h"

struct texts_gather;
struct packer;

int texts_gather_new(size_t max_bytes, struct texts_gather **ret) __attribute__((nonnull, warn_unused_result));
void texts_gather_free(struct texts_gather *gather); /* accepts NULL */
/* As a new one, in the memory that is there. */
void texts_gather_clear(struct texts_gather *gather) __attribute__((nonnull));
/* What rows and texts take in memory. */
size_t texts_gather_bytes(const struct texts_gather *gather) __attribute__((nonnull));

/* A row of a snapshot, whose labels the caller keeps for as long as this. Ticks ascend. 0; -EMSGSIZE, -ENOMEM: then
 * drop the tick. */
int texts_gather_row(struct texts_gather *gather, uint32_t tick, const struct schema_trail_row *row,
		     const struct schema_label_value *labels, size_t n_labels)
	__attribute__((nonnull(1, 3), warn_unused_result));
/* Forgets what a tick, the last one, brought. */
void texts_gather_drop(struct texts_gather *gather, uint32_t tick) __attribute__((nonnull));

/* Sections with texts, ascending: the first above `after`, or 0. */
uint32_t texts_gather_next(const struct texts_gather *gather, uint32_t after) __attribute__((nonnull));
/* Appends a section, or nothing when no row of it has anything to say. rank[i] is where tick i comes in the chunk's
 * n_ticks; NULL: where it is. More may be added afterwards. 0, -EMSGSIZE, -ENOMEM. */
int texts_gather_put(struct texts_gather *gather, uint32_t section, const uint32_t *rank, uint32_t n_ticks,
		     struct packer *packer, enum columns_form form, struct buf *out, uint32_t *ret_rows)
	__attribute__((nonnull(1, 7, 8), warn_unused_result));
