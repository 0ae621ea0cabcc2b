/* Texts of snapshots while a chunk is gathered: which rows there were, at which ticks, and what they said when it was
 * something else than before. Private to the builder. */
#pragma once

#include "backend/columns/table_names.h"
#include "backend/columns/texts.h"
#include "common/schema/trail.h"

struct texts_gather;
struct packer;

/* Labels are those of `names`, which are kept for as long as this. */
int texts_gather_new(size_t max_bytes, struct table_names *names, struct texts_gather **ret)
	__attribute__((nonnull, warn_unused_result));
void texts_gather_free(struct texts_gather *gather); /* accepts NULL */
/* As a new one, in the memory that is there. */
void texts_gather_clear(struct texts_gather *gather) __attribute__((nonnull));
/* The caller of an empty one passes the number of a row wherever it has been set, until it says that it does not any
 * more: 0, -ENOMEM. */
void texts_gather_trust(struct texts_gather *gather) __attribute__((nonnull));
int texts_gather_doubt(struct texts_gather *gather) __attribute__((nonnull, warn_unused_result));
/* What rows and texts take in memory. */
size_t texts_gather_bytes(const struct texts_gather *gather) __attribute__((nonnull));

/* A row of a snapshot. Ticks ascend. 0; -EMSGSIZE, -ENOMEM: then drop the tick. */
int texts_gather_row(struct texts_gather *gather, uint32_t tick, const struct schema_trail_row *row)
	__attribute__((nonnull, warn_unused_result));
/* Forgets what a tick, the last one, brought. */
void texts_gather_drop(struct texts_gather *gather, uint32_t tick) __attribute__((nonnull));

/* Before what follows, which is of the rows there are by then: label_ranks[] as table_names_rank() says. 0 or -ENOMEM.
 */
int texts_gather_sort(struct texts_gather *gather, const uint32_t *label_ranks)
	__attribute__((nonnull, warn_unused_result));
/* Sections with texts, ascending: the first above `after`, or 0. */
uint32_t texts_gather_next(const struct texts_gather *gather, uint32_t after) __attribute__((nonnull));
/* Appends a section, or nothing when no row of it has anything to say. rank[i] is where tick i comes in the chunk's
 * n_ticks; NULL: where it is. More may be added afterwards. 0, -EMSGSIZE, -ENOMEM. */
int texts_gather_put(struct texts_gather *gather, uint32_t section, const uint32_t *rank, uint32_t n_ticks,
		     struct packer *packer, enum columns_form form, struct buf *out, uint32_t *ret_rows)
	__attribute__((nonnull(1, 7, 8), warn_unused_result));
