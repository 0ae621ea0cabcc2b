/* Rows of the store as blocks. Of each payload only the fields on the way to the metric are read; what lies beside it
 * is skipped by its length. Private to backend/query. */
#pragma once

#include "backend/columns/chunk_builder.h"
#include "backend/columns/table.h"
#include "backend/query/source_reading.h"

struct source_rows {
	struct source_reading *reading;
	struct columns_tick *ticks;
	uint32_t n;
	struct table table;
	bool has_table;
	/* The schema of the rows at hand, and its row for the metric. */
	struct schema *schema; /* a reference */
	uint8_t hash[32];
	const struct schema_metric *row;
	uint32_t tick; /* of the row at hand */
	/* Rows that lie among chunks. */
	struct chunk_builder *builder;
};

/* 0 or -ENOMEM. */
int source_rows_init(struct source_rows *rows, struct source_reading *reading)
	__attribute__((nonnull, warn_unused_result));
void source_rows_free(struct source_rows *rows);
/* Takes a row that comes after all others; tells a block when there are enough. A damaged row costs itself. */
int source_rows_add(struct source_rows *rows, const struct store_row *row) __attribute__((nonnull, warn_unused_result));
/* Tells what was taken. */
int source_rows_flush(struct source_rows *rows) __attribute__((nonnull, warn_unused_result));

/* Takes a row to be merged with chunks, in whatever order: -EMSGSIZE when source_rows_chunk() must be called first. */
int source_rows_keep(struct source_rows *rows, const struct store_row *row)
	__attribute__((nonnull, warn_unused_result));
/* Appends a chunk of what was kept, if anything was. */
int source_rows_chunk(struct source_rows *rows, struct buf *out) __attribute__((nonnull, warn_unused_result));
