/* How long history is kept, and how much of it. Deciding is pure; keeper.c does what is decided. */
#pragma once

#include "backend/store/store.h"

#include <stdbool.h>

struct retention_policy {
	int64_t keep_us[STORE_TIER_END];    /* 0: for ever */
	uint64_t max_bytes[STORE_TIER_END]; /* of a tier's chunks; 0: no cap */
	uint64_t max_total_bytes;	    /* of the database with all that is around; 0: no cap */
};

struct retention_drop {
	enum store_tier tier;
	int64_t before_us;
	uint64_t bytes;
};

/* What is too old, of a tier; false when it is kept for ever. */
bool retention_by_age(const struct retention_policy *policy, enum store_tier tier, int64_t now_us,
		      struct retention_drop *ret) __attribute__((nonnull, warn_unused_result));

/* What is to go because there is too much; false when nothing is. A tier above its own cap comes first; when all
 * together are too much, or the disk is as good as full (less than 1 GiB free, or 5% of a disk that is smaller than
 * that), the tier of which the oldest has had the largest share of its time. `full`: the disk said that it is: then
 * there is to be room enough for writing to go on. Tiers in `spent` (a bit for each) have nothing left that can go. */
bool retention_by_bytes(const struct retention_policy *policy, const struct store_usage *usage, int64_t now_us,
			bool full, unsigned spent, struct retention_drop *ret)
	__attribute__((nonnull, warn_unused_result));

/* How many bytes of rows there may be before those that can wait should. */
uint64_t retention_row_bytes(const struct retention_policy *policy, const struct store_usage *usage)
	__attribute__((nonnull));

/* Free bytes under which the disk counts as full; 0 when that is not known. */
uint64_t retention_low_bytes(const struct store_usage *usage) __attribute__((nonnull));
