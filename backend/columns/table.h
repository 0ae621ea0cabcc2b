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

/* What every sample touches comes first, together. */
struct table_series {
	const struct schema_metric *metric; /* only compared */
	uint32_t label_group;		    /* series of one row, whose labels are the same, share it */
	uint32_t next;			    /* the series that followed it in a snapshot; UINT32_MAX: none yet */
	struct presence_run open;	    /* the ticks it was last at, not yet among those of presence; n 0: none */
	uint32_t count;			    /* ticks in all */
	enum schema_value_type type;
	struct table_column value; /* of what is no histogram */
	/* The rest is looked at when the series is another than expected. */
	struct columns_series *id;
	const uint8_t *key;
	uint32_t key_len;
	uint32_t twin; /* the one that differs by the next ordinal; UINT32_MAX: none yet */
	struct presence presence;
	struct table_column *parts; /* of a histogram, ascending by part */
	uint32_t n_parts, cap_parts;
};

struct table {
	struct table_series *series;
	uint32_t n, cap;
	struct intern map;
	struct table_page *pages; /* identities */
	struct buf key;
	size_t bytes, max_bytes;
	uint64_t samples;
	uint32_t first; /* series of the first sample of a snapshot */
	uint32_t last;	/* series of the last sample, and its row */
	uint32_t last_row;
	uint32_t n_groups;
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
/* Makes `presence` of every series complete; more may be added afterwards. 0 or -ENOMEM. */
int table_settle(struct table *table) __attribute__((warn_unused_result));
/* Forgets what a tick, the last one, brought. */
void table_drop(struct table *table, uint32_t tick);
