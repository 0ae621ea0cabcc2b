/* The windows of history's tiers: a chunk lies within one, aligned to the epoch. Pure.
 *
 * Windows of RAW were six hours once. What was put together then stays as it is: chunks say what time they are of, and
 * the new windows divide the old ones. What had not been is put together as it was meant to be, under the old window's
 * beginning. */
#pragma once

#include "backend/columns/chunk.h"
#include "backend/store/store.h"

#define TIERS_HOUR_US 3600000000ll
#define TIERS_DAY_US (24 * TIERS_HOUR_US)

#define TIERS_PROCESSES_SECTION 23

static inline int64_t tiers_window_us(enum store_tier tier)
{
	switch (tier) {
	case STORE_TIER_PROCESSES:
		return TIERS_HOUR_US;
	case STORE_TIER_MINUTE:
		return TIERS_DAY_US;
	default:
		return 2 * TIERS_HOUR_US;
	}
}

/* The longest that a window of this tier ever was. */
static inline int64_t tiers_longest_us(enum store_tier tier)
{
	return tier == STORE_TIER_RAW ? 6 * TIERS_HOUR_US : tiers_window_us(tier);
}

/* Where the window begins that a time lies in. */
static inline int64_t tiers_window_of(enum store_tier tier, int64_t time_us)
{
	int64_t window = tiers_window_us(tier), within = time_us % window;
	if (within < 0)
		within += window;
	return time_us < INT64_MIN + within ? INT64_MIN : time_us - within;
}

static inline enum store_tier tiers_of_section(uint32_t number)
{
	return chunk_section_of(number) == TIERS_PROCESSES_SECTION ? STORE_TIER_PROCESSES : STORE_TIER_RAW;
}
