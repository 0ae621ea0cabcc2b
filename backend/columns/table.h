/* Series of snapshots while a chunk is gathered: who they are, at which ticks they had values, and those. Private to
 * the builder. */
#pragma once

#include "backend/columns/columns.h"
#include "backend/columns/intern.h"

struct table_column {
	uint32_t part;
	uint32_t n, cap;
	uint64_t constant; /* what all n are while values is NULL */
	uint64_t *values;
};

struct table_series {
	struct columns_series *id;
	const uint8_t *key;
	uint32_t key_len;
	uint32_t next;			    /* the series that followed it in a snapshot; UINT32_MAX: none yet */
	uint32_t twin;			    /* the one that differs by the next ordinal; UINT32_MAX: none yet */
	const struct schema_metric *metric; /* only compared */
	struct presence presence;
	struct table_column *columns; /* ascending by part */
	uint32_t n_columns;
};

struct table {
	struct table_series *series;
	uint32_t n, cap;
	struct intern map;
	struct table_page *pages; /* identities */
	struct buf key;
	size_t bytes, max_bytes;
	uint64_t samples;
	uint32_t last; /* series of the last sample */
	uint32_t first;
};

void table_init(struct table *table, size_t max_bytes);
void table_free(struct table *table);

/* Before the samples of a snapshot. */
void table_begin(struct table *table);
/* Pointers to metrics of earlier schemas mean nothing any more. */
void table_forget_metrics(struct table *table);
/* A sample at a tick that is not below the last one. 0, -EPROTO, -EMSGSIZE, -ENOMEM. */
int table_add(struct table *table, uint32_t tick, const struct schema_sample *sample)
	__attribute__((nonnull, warn_unused_result));
/* Forgets what a tick, the last one, brought. */
void table_drop(struct table *table, uint32_t tick);
