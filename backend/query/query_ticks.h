/* The ticks of a block as queries go through them: a column of times, and what mostly goes on unchanged as runs.
 * Immutable once made, and counted, so that answers may share them. */
#pragma once

#include "backend/columns/columns.h"
#include "backend/query/query_cache.h"

/* From tick `first` on, up to the next run's: one start of the agent, one interval, sequences in equal steps. */
struct query_run {
	uint32_t first, interval_ms;
	uint64_t sequence; /* of the first */
	uint64_t step;	   /* to the next; 0 of a single one */
	uint8_t instance[16];
	uint8_t boot_id[16];
};

struct query_ticks {
	struct query_cached cached; /* first: query_cached_unref(&ticks->cached) */
	uint32_t n, n_runs;
	/* What is known: all that lies in these moments, which are ticks [first, end). Of the others nothing is, and
	 * they are in no run. */
	int64_t from_us, to_us;
	uint32_t first, end;
	int64_t *time_us; /* ascending */
	int64_t *read_us; /* of minutes, the last reading of each; else time_us */
	struct query_run *runs;
};

/* The ticks of `old`, or none, and n more raw ones behind them, as others than `old`. 0 or -ENOMEM; one reference for
 * the caller. */
int query_ticks_more(const struct query_ticks *old, const struct columns_tick *ticks, uint32_t n,
		     struct query_ticks **ret) __attribute__((nonnull(4), warn_unused_result));
/* 0 or -ENOMEM; one reference for the caller. */
int query_ticks_new(const struct columns_tick *ticks, uint32_t n, bool minutes, struct query_ticks **ret)
	__attribute__((nonnull(4), warn_unused_result));
/* Of n raw ones [first, end), which are those at `ticks` and all of these moments. The same. */
int query_ticks_within(const struct columns_tick *ticks, uint32_t n, uint32_t first, uint32_t end, int64_t from_us,
		       int64_t to_us, struct query_ticks **ret) __attribute__((nonnull(7), warn_unused_result));
