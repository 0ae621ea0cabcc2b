/* When bytes run out all tiers shrink alike, measured by the time they are meant to have: minutes, which take little
 * and are kept for long, are not what a full disk costs first. */
#include "backend/history/retention.h"

#define GIB (1ull << 30)
#define FOR_EVER_US (400ll * 86400 * 1000000) /* what shares are of when there is no end */
#define LEAST_BYTES (16ull << 20)	      /* so that a full disk is not freed by crumbs */
#define ROOM_BYTES (128ull << 20)

bool retention_by_age(const struct retention_policy *policy, enum store_tier tier, int64_t now_us,
		      struct retention_drop *ret)
{
	if (policy->keep_us[tier] == 0)
		return false;
	*ret = (struct retention_drop){.tier = tier, .before_us = now_us - policy->keep_us[tier], .bytes = UINT64_MAX};
	return true;
}

uint64_t retention_low_bytes(const struct store_usage *usage)
{
	if (usage->disk_free_bytes == UINT64_MAX)
		return 0;
	/* The disk, as far as it is ours or nobody's. */
	uint64_t share = usage->total_bytes / 20 + usage->disk_free_bytes / 20;
	return share < GIB ? share : GIB;
}

uint64_t retention_row_bytes(const struct retention_policy *policy, const struct store_usage *usage)
{
	uint64_t max = 2 * GIB;
	if (usage->disk_free_bytes != UINT64_MAX && (usage->total_bytes + usage->disk_free_bytes) / 10 < max)
		max = (usage->total_bytes + usage->disk_free_bytes) / 10;
	if (policy->max_total_bytes > 0 && policy->max_total_bytes / 10 < max)
		max = policy->max_total_bytes / 10;
	return max;
}

/* What a disk that said it is full is short of: as much as writing wants before it goes on, a quarter of a small disk
 * or 128 MiB. How much there is of a server's disk nobody knows: some. */
static uint64_t room_wanted(const struct store_usage *usage)
{
	if (usage->disk_free_bytes == UINT64_MAX)
		return LEAST_BYTES;
	uint64_t room = usage->total_bytes / 4 + usage->disk_free_bytes / 4;
	room = room < ROOM_BYTES ? room : ROOM_BYTES;
	return room > usage->disk_free_bytes ? room - usage->disk_free_bytes : 0;
}

static enum store_tier ripest(const struct retention_policy *policy, const struct store_usage *usage, int64_t now_us,
			      unsigned spent)
{
	enum store_tier best = STORE_TIER_END;
	double most = -1;
	for (enum store_tier tier = STORE_TIER_RAW; tier < STORE_TIER_END; tier++) {
		int64_t keep = policy->keep_us[tier] > 0 ? policy->keep_us[tier] : FOR_EVER_US;
		double share = (double)(now_us - usage->tiers[tier].oldest_us) / (double)keep;
		if (usage->tiers[tier].chunks == 0 || (spent >> tier & 1) || share <= most)
			continue;
		most = share;
		best = tier;
	}
	return best;
}

bool retention_by_bytes(const struct retention_policy *policy, const struct store_usage *usage, int64_t now_us,
			bool full, unsigned spent, struct retention_drop *ret)
{
	uint64_t low = retention_low_bytes(usage), over = 0;
	for (enum store_tier tier = STORE_TIER_RAW; tier < STORE_TIER_END; tier++) {
		uint64_t max = policy->max_bytes[tier], bytes = usage->tiers[tier].bytes;
		if (max == 0 || bytes <= max || (spent >> tier & 1))
			continue;
		*ret = (struct retention_drop){.tier = tier, .before_us = INT64_MAX, .bytes = bytes - max};
		return true;
	}
	if (policy->max_total_bytes > 0 && usage->total_bytes > policy->max_total_bytes)
		over = usage->total_bytes - policy->max_total_bytes;
	/* A quarter more than needed, so that it is not at once too little again. */
	if (low > 0 && usage->disk_free_bytes < low && low + low / 4 - usage->disk_free_bytes > over)
		over = low + low / 4 - usage->disk_free_bytes;
	if (full && room_wanted(usage) > over)
		over = room_wanted(usage);
	enum store_tier tier = over > 0 ? ripest(policy, usage, now_us, spent) : STORE_TIER_END;
	if (tier == STORE_TIER_END)
		return false;
	*ret = (struct retention_drop){.tier = tier, .before_us = INT64_MAX, .bytes = over};
	return true;
}
