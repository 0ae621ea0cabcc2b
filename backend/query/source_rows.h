/* Rows of the store as blocks. They are listed first; of those whose values are not kept (kept_rows.h) the beginning is
 * read, as far as the metric's section. Private to backend/query. */
#pragma once

#include "backend/columns/chunk_builder.h"
#include "backend/query/kept_rows.h"
#include "backend/query/source_reading.h"

#define SOURCE_ROWS_AT_ONCE 1024

struct source_rows {
	struct source_reading *reading;
	struct kept_rows *kept; /* NULL: not asked for yet */
	size_t head;	 /* bytes of a row that were enough for the last of them, or for another host; 0: not known */
	int64_t from_us; /* rows from here on are all told; INT64_MAX: some were */
	/* Listed, to be told or to be merged. */
	struct store_row *listed, *late;
	uint32_t n, n_late, late_done;
	struct chunk_builder *builder;
	struct schema *schema; /* of the builder's last row; a reference */
	uint8_t hash[32];
};

/* 0 or -ENOMEM. */
int source_rows_init(struct source_rows *rows, struct source_reading *reading)
	__attribute__((nonnull, warn_unused_result));
void source_rows_free(struct source_rows *rows);
/* Takes a listed row that comes after all others; tells a block when there are enough. A damaged row costs itself. */
int source_rows_add(struct source_rows *rows, const struct store_row *row) __attribute__((nonnull, warn_unused_result));
/* Tells what was taken. */
int source_rows_flush(struct source_rows *rows) __attribute__((nonnull, warn_unused_result));

/* Takes a listed row to be merged with chunks: -EMSGSIZE when source_rows_chunk() must be called first. */
int source_rows_keep(struct source_rows *rows, const struct store_row *row)
	__attribute__((nonnull, warn_unused_result));
/* Appends a chunk of what was kept, if anything was. 1 when there is more, for another chunk; 0; negative errno. */
int source_rows_chunk(struct source_rows *rows, struct buf *out) __attribute__((nonnull, warn_unused_result));
