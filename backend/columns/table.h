/* Series of snapshots while a chunk is gathered: who they are, at which ticks they had values, and those. Private to
 * backend/. */
#pragma once

#include "backend/columns/columns.h"
#include "backend/columns/table_names.h"

struct table_column {
	uint64_t *values;
	uint64_t constant; /* what all n are while values is NULL */
	uint32_t n, cap;
	uint32_t part;
};

/* What every value touches comes first, together. */
struct table_series {
	struct table_column value; /* of what is no histogram */
	uint32_t behind;	   /* the tick behind the one it was last at; 0: none yet */
	uint32_t first;		   /* where the run of ticks before that one began, which is not yet in presence */
	uint32_t count;		   /* ticks in all */
	enum schema_value_type type;
	uint32_t path, labels;
	struct presence presence;
	struct table_column *parts; /* of a histogram, ascending by part */
	uint32_t n_parts, cap_parts;
	/* Of a histogram: the indexes as a message has them when they are those of all parts but the first. */
	uint8_t *indexes;
	uint32_t indexes_len;
};

struct table {
	struct table_series *series;
	uint32_t n, cap;
	struct intern map; /* of series, by the numbers of their metric and labels */
	struct table_names names;
	uint64_t samples;
	/* Of samples: the labels of the last one and its row, and the first labels of a snapshot. */
	uint32_t last, last_row, first;
};

void table_init(struct table *table, size_t max_bytes);
void table_free(struct table *table);

/* Pointers to metrics of earlier schemas mean nothing any more. */
void table_forget_metrics(struct table *table);

/* A value at a tick that is not below the last one, of a metric of the schema that is no histogram; labels are those of
 * table_names_labels(). *column is
 * TABLE_NONE until it is set here, then the number of the series; it belongs to metric and labels. 0, -EMSGSIZE,
 * -ENOMEM. */
int table_value_slow(struct table *table, uint32_t tick, uint32_t labels, const struct schema_metric *metric,
		     uint32_t *column, uint64_t value) __attribute__((nonnull, warn_unused_result));
__attribute__((nonnull, warn_unused_result)) static inline int table_value(struct table *table, uint32_t tick,
									   uint32_t labels,
									   const struct schema_metric *metric,
									   uint32_t *column, uint64_t value)
{
	struct table_series *s = *column < table->n ? &table->series[*column] : NULL;
	if (!s || s->behind != tick || tick == 0)
		return table_value_slow(table, tick, labels, metric, column, value);
	/* Most are constant; of the others most have room. */
	struct table_column *c = &s->value;
	if (c->values ? c->n == c->cap : value != c->constant)
		return table_value_slow(table, tick, labels, metric, column, value);
	if (c->values)
		c->values[c->n] = value;
	c->n++;
	s->behind++;
	s->count++;
	table->samples++;
	return 0;
}
/* The same of a histogram, given as its message: also -EPROTO. */
int table_histogram(struct table *table, uint32_t tick, uint32_t labels, const struct schema_metric *metric,
		    uint32_t *column, const uint8_t *data, size_t len)
	__attribute__((nonnull(1, 4, 5), warn_unused_result));

/* Before the samples of a snapshot, and a sample at a tick that is not below the last one. 0, -EPROTO, -EMSGSIZE,
 * -ENOMEM. */
void table_begin(struct table *table);
int table_add(struct table *table, uint32_t tick, const struct schema_sample *sample)
	__attribute__((nonnull, warn_unused_result));

/* Makes `presence` of every series complete; more may be added afterwards. 0 or -ENOMEM. */
int table_settle(struct table *table) __attribute__((warn_unused_result));
/* Forgets what a tick, the last one, brought. */
void table_drop(struct table *table, uint32_t tick);

/* Who it is; what it points to lives as long as the table. Of *ret's labels only those there are, are set. */
void table_identity(const struct table *table, const struct table_series *series, struct columns_series *ret)
	__attribute__((nonnull));
/* The numbers of all series, in the order of their sections and then of their keys. 0 or -ENOMEM. */
int table_sort(const struct table *table, uint32_t *ret) __attribute__((nonnull(1), warn_unused_result));
