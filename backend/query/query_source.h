/* Where a range query reads from: one metric of one host, in blocks of ticks that follow each other in time, each block
 * series by series. Behind it stand the chunks and rows of the store (source_store.c). Thread-safe. */
#pragma once

#include "backend/columns/columns.h"
#include "backend/query/query_ticks.h"
#include "common/schema/schema.h"

#include <stdbool.h>
#include <stdint.h>

#define QUERY_MINUTE_US 60000000ll

/* What a minute says of the readings in it; a raw tick says QUERY_LAST alone. Numbers are those of the statistics of
 * STORE_TIER_MINUTE (backend/columns/rollup.h), less one. */
enum query_statistic {
	QUERY_LAST,
	QUERY_MIN,
	QUERY_MAX,
	QUERY_SUM,
	QUERY_COUNT,
	QUERY_EXTRA,
	QUERY_STATISTICS,
};

/* Times ascend, within a block and from block to block. A minute's tick says when the minute began. */
struct query_block {
	const struct query_ticks *ticks;
	uint32_t first,
		end; /* those before `first` and from `end` on are not asked for: their values are passed over */
	bool minutes;
};

/* Stored blocks of which something has to be read and decoded. */
struct query_due {
	int64_t first_us;
	bool minutes;
	size_t left; /* so many may follow it */
};

/* In this order: metric once or several times, then for each block ticks and the series and values of it. What they
 * return but 0 stops the reading and is returned from it, except for `series`. All is borrowed for the call, ticks
 * until the block's last values. */
struct query_sink {
	/* Which statistics (1 << enum query_statistic) are needed where there are minutes. */
	int (*metric)(void *arg, enum schema_kind kind, enum schema_unit unit, unsigned *ret_statistics);
	int (*ticks)(void *arg, const struct query_block *block);
	/* 1 and what to call it by in values(), 0 when it is not wanted: then it is not decoded. */
	int (*series)(void *arg, const struct columns_series *series, void **ret);
	/* NULL for statistics that were not asked for, or are not there. */
	int (*values)(void *arg, void *series, const struct columns_values *const values[QUERY_STATISTICS]);
	/* What is stored of some of these moments cannot be read. Before the block that it concerns or after it; a
	 * single moment, of a row, in its turn. */
	int (*damaged)(void *arg, int64_t from_us, int64_t to_us);
	/* May be NULL. Before a stored block that the cache does not have; 1: it is passed over. */
	int (*due)(void *arg, const struct query_due *due);
	void *arg;
};

struct query_range {
	const uint8_t *host_id;
	int64_t from_us, to_us; /* inclusive */
	int64_t step_us;
	const char *metric; /* path or exposition name */
	/* For the cache: only of blocks that it does not have and may keep is told, and of no rows. */
	bool ahead;
};

struct query_source {
	/* 0; -ENODATA when there are snapshots and nothing knows such a metric; what a sink returned; negative errno.
	 */
	int (*read)(void *source, const struct query_range *range, const struct query_sink *sink);
	void *source;
	/* Several hosts may be read at once, by so many threads (0 as 1), each of the further ones from a source of its
	 * own. Blocks of one host are read by so many, one of which makes the answer. open(): 0 or negative errno. */
	unsigned threads, threads_ahead;
	int (*open)(void *source, void **ret_source);
	void (*close)(void *source);
};

struct store;
struct store_view;
struct schemas;
struct recent;

/* Over the store; all is borrowed; of one thread at a time. With a view all reads are of one picture; else each opens
 * its own. */
struct query_store {
	struct store *store;
	struct schemas *schemas;
	struct store_view *view;
	struct query_cache *cache; /* or NULL */
	struct recent *recent;	   /* or NULL */
	unsigned threads;	   /* at most, for several hosts */
	/* Private, of the host before. */
	const struct schema_metric *found; /* in our own schema */
	size_t row_head;		   /* see source_rows.h */
};
struct query_source query_source_store(struct query_store *store) __attribute__((nonnull));

/* Whether a step is answered from minutes where there are such. */
static inline bool query_by_minutes(int64_t step_us)
{
	return step_us >= 2 * QUERY_MINUTE_US || (step_us > 0 && step_us % QUERY_MINUTE_US == 0);
}
