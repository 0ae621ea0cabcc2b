/* What the values of a block do to the steps of a series. Private to backend/query. */
#pragma once

#include "backend/query/range_groups.h"

/* A block's ticks as the values need them; made once for all series of the block. */
struct range_ticks {
	uint32_t first, end; /* those that count */
	bool minutes;
	uint32_t cap;
	const int64_t *time_us; /* of the reading: of a minute that of its last; the block's */
	int32_t *at;		/* the step, -1 before the first */
	uint32_t *epoch;	/* one more at each boot */
	bool *grew;		/* of a histogram at hand: since the reading before */
};

struct range_values {
	const struct range_request *request;
	struct range_result *result;
	enum range_aggregate aggregate;
	struct range_ticks ticks;
};

/* Room for n ticks: 0 or -ENOMEM. */
int range_ticks_reserve(struct range_ticks *ticks, uint32_t n) __attribute__((nonnull, warn_unused_result));
void range_ticks_free(struct range_ticks *ticks);

/* Takes what a block says of a series, whose group there is. 0 or -ENOMEM. */
int range_values_take(struct range_values *run, struct range_series *series, enum schema_value_type type,
		      const struct columns_values *const of[QUERY_STATISTICS])
	__attribute__((nonnull, warn_unused_result));
/* Folds what a series did in the step it leaves into its group. */
void range_values_close(const struct range_values *run, struct range_series *series) __attribute__((nonnull));
/* Makes points of what was folded. */
void range_values_finish(const struct range_values *run) __attribute__((nonnull));
