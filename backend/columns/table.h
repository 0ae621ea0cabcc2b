/* Series of snapshots while a chunk is gathered: who they are, at which ticks they had values, and those. Private to
 * backend/. */
#pragma once

#include "backend/columns/columns.h"
#include "backend/columns/histogram_log.h"
#include "backend/columns/table_names.h"
#include "backend/columns/tick_sets.h"
#include "common/schema/trail.h"

/* Where a column goes on: what every value touches, and nothing else beside it. The first values are alike; the others
 * follow each other in blocks that become larger, at whose end is where the next begins. */
struct table_end {
	uint64_t *to, *end; /* where the next value goes, and the end of its block; NULL while all are alike */
	uint64_t constant;
	uint32_t n;
	uint32_t behind; /* of a series: the tick behind the one it was last at; 0: none yet */
};

/* Where it began. */
struct table_column {
	uint64_t *first; /* block */
	uint32_t lead;	 /* values before it */
	uint32_t blocks;
};

struct table_series {
	struct table_column column; /* of what is no histogram */
	uint32_t ticks;		    /* the set of those before `first` */
	uint32_t first;		    /* where the run of ticks up to the last began */
	uint32_t path, labels;
	struct histogram_log *histogram; /* NULL: none */
};

struct table {
	struct table_series *series;
	struct table_end *ends; /* of the series; of histograms only n and behind */
	uint32_t n, cap;
	struct intern map; /* of series, by the numbers of their metric and labels */
	bool trusts; /* who has no column for a metric and labels of the schema has never had one: not in the map */
	struct table_names names;
	struct tick_sets sets;
	uint64_t samples;
	/* Of samples: the labels of the last one and its row, and the first labels of a snapshot. */
	uint32_t last, last_row, first;
};

void table_init(struct table *table, size_t max_bytes);
void table_free(struct table *table);
/* As a new one, in the memory that is there; whether it trusts is as it was. */
void table_clear(struct table *table);

/* The caller of an empty table passes the column wherever it has been set, until it says that it does not any more:
 * 0, -ENOMEM. (Samples of the schema are not for a table that trusts.) */
void table_trust(struct table *table);
int table_doubt(struct table *table) __attribute__((nonnull, warn_unused_result));

/* Pointers to metrics of earlier schemas mean nothing any more. */
void table_forget_metrics(struct table *table);

/* Values of a row at a tick that is not below the last one, of metrics of the schema that are no histograms; labels are
 * those of table_names_labels(). Their columns are TABLE_NONE until they are set here, then the number of the series;
 * they belong to metric and labels. 0, -EMSGSIZE, -ENOMEM. */
int table_row(struct table *table, uint32_t tick, uint32_t labels, const struct schema_trail_value *values, size_t n)
	__attribute__((nonnull, warn_unused_result));
/* The same of one histogram, given as its message: also -EPROTO. */
int table_histogram(struct table *table, uint32_t tick, uint32_t labels, const struct schema_metric *metric,
		    uint32_t *column, const uint8_t *data, size_t len)
	__attribute__((nonnull(1, 4, 5), warn_unused_result));

/* Before the samples of a snapshot, and a sample at a tick that is not below the last one. 0, -EPROTO, -EMSGSIZE,
 * -ENOMEM. */
void table_begin(struct table *table);
int table_add(struct table *table, uint32_t tick, const struct schema_sample *sample)
	__attribute__((nonnull, warn_unused_result));

/* The columns of a series, without its presence. 0 or -ENOMEM. */
int table_values(const struct table *table, uint32_t series, struct columns_values *ret)
	__attribute__((nonnull, warn_unused_result));
/* Of a series that is asked for soon. */
static inline void table_prefetch(const struct table *table, uint32_t series)
{
	__builtin_prefetch(&table->ends[series]);
	__builtin_prefetch(&table->series[series]);
}
/* The same of one that is in the cache. */
static inline void table_prefetch_values(const struct table *table, uint32_t series)
{
	if (table->ends[series].to)
		__builtin_prefetch(table->series[series].column.first);
}
/* Whether it has one column, and that one value: *ret. */
static inline bool table_constant(const struct table *table, uint32_t series, uint64_t *ret)
{
	const struct table_end *end = &table->ends[series];
	if (table->series[series].histogram || end->to)
		return false;
	*ret = end->constant;
	return true;
}
/* At which ticks a series has values, into what presence_free() frees, whose room is used again. 0 or -ENOMEM. */
int table_presence(const struct table *table, uint32_t series, struct presence *ret)
	__attribute__((nonnull, warn_unused_result));
/* Whether any of them is in [first, end). */
bool table_within(const struct table *table, uint32_t series, uint32_t first, uint32_t end) __attribute__((nonnull));
/* Makes `ticks` of every series complete: who has the same number was at the same ticks. More may be added afterwards.
 * 0, -EMSGSIZE, -ENOMEM. */
int table_settle(struct table *table) __attribute__((warn_unused_result));
/* Forgets what a tick, the last one, brought. */
void table_drop(struct table *table, uint32_t tick);

/* Who it is; what it points to lives as long as the table. Of *ret's labels only those there are, are set. */
void table_identity(const struct table *table, uint32_t series, struct columns_series *ret) __attribute__((nonnull));
/* The numbers of all series, by the ranks of their names, in the order of their sections and then of their keys, and
 * with each where its metric and its labels are in that order. 0 or -ENOMEM. */
struct table_rank {
	uint32_t series, path, labels;
};
int table_sort(const struct table *table, const struct table_ranks *ranks, struct table_rank *ret)
	__attribute__((nonnull(1, 2), warn_unused_result));
