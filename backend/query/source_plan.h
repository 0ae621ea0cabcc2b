/* How a metric of a host is read out of the store in the order of time: what source_store.c, which does it, and
 * source_minutes.c, which tells of minutes, share. Private to backend/query. */
#pragma once

#include "backend/history/tiers.h"
#include "backend/query/source_merging.h"
#include "backend/query/source_rows.h"

/* Chunks that overlap, and nothing beside them does. */
struct source_cluster {
	size_t first, n; /* of chunks */
	int64_t first_us, last_us;
	int64_t from_us, to_us; /* the windows that it shares with its neighbours */
	bool raw;		/* they are read raw */
};

struct source_list {
	struct store_chunk *chunks;
	size_t n;
	struct source_cluster *clusters;
	size_t n_clusters;
};

struct source_plan {
	struct source_reading reading;
	struct source_rows rows;
	enum store_tier tier;
	bool by_minutes, has_minutes;
	struct source_list list;
	size_t next;	    /* cluster */
	int64_t minutes_us; /* up to here all is told; behind it minutes may come until something raw does */
	int64_t rows_from_us, rows_to_us;      /* windows of the rows at hand; INT64_MIN: none yet */
	struct buf kept[SOURCE_MERGE_AT_ONCE]; /* rows among the chunks of the next cluster */
	size_t n_kept;
	int64_t thin_us, thin_to_us; /* windows of which minutes are left, and something raw came late; INT64_MIN: none
				      * at hand */
	int64_t judged_us;	     /* those of which that was asked last */
	struct source_merging late;  /* what came */
};

static inline int64_t source_window_of(int64_t time_us)
{
	return tiers_window_of(STORE_TIER_RAW, time_us);
}

static inline int64_t source_window_end(int64_t time_us)
{
	return source_window_of(time_us) + tiers_window_us(STORE_TIER_RAW);
}

/* source_store.c */
/* What overlaps [from_us, to_us]; free what is in *ret. */
int source_list_read(struct source_plan *plan, enum store_tier tier, uint32_t statistic, int64_t from_us, int64_t to_us,
		     struct source_list *ret) __attribute__((nonnull, warn_unused_result));
void source_list_free(struct source_list *list) __attribute__((nonnull));
/* Rows that were taken to be merged become chunks in plan->kept. */
int source_plan_keep_rows(struct source_plan *plan) __attribute__((nonnull, warn_unused_result));
void source_plan_forget_rows(struct source_plan *plan) __attribute__((nonnull));

/* source_minutes.c */
/* [from_us, to_us) out of minutes. */
int source_minutes_tell(struct source_plan *plan, int64_t from_us, int64_t to_us)
	__attribute__((nonnull, warn_unused_result));
/* Something raw lies in the windows [from_us, to_us): whether it is told as it is, or waits as what came late
 * (plan->thin_us). */
int source_thin_judge(struct source_plan *plan, int64_t from_us, int64_t to_us)
	__attribute__((nonnull, warn_unused_result));
/* Rows that were taken wait. */
int source_thin_keep(struct source_plan *plan) __attribute__((nonnull, warn_unused_result));
/* The thin window at hand, if there is one, is over: its minutes are told, and of what waited those that they lack. */
int source_thin_tell(struct source_plan *plan) __attribute__((nonnull, warn_unused_result));
