/* GET /api/storage. Looking at every chunk's row takes a while when there are many: it is told what the keeper saw. */
#include "backend/api/internal.h"

#include "backend/history/keeper.h"

#define STATUS_SIZE 256
#define TIER_MAX 512

enum {
	TIER_NAME = 1,
	TIER_CHUNKS,
	TIER_BYTES,
	TIER_UNCOMPACTED,
	TIER_OLDEST,
	TIER_NEWEST,
	TIER_KEEP_S,
	TIER_MAX_BYTES
};
enum {
	STORAGE_STATUS = 1,
	STORAGE_TIERS,
	STORAGE_ROWS,
	STORAGE_ROW_BYTES,
	STORAGE_TOTAL_BYTES,
	STORAGE_MAX_BYTES,
	STORAGE_DISK_FREE,
	STORAGE_KEEPS_HOUSE,
	STORAGE_LOOKED_AT,
	STORAGE_DAMAGED_TABLES,
	STORAGE_DAMAGED,
};

static int put_tier(struct buf *reply, enum store_tier tier, const struct store_usage *usage,
		    const struct retention_policy *policy)
{
	static const char *const names[] = {
		[STORE_TIER_RAW] = "raw", [STORE_TIER_PROCESSES] = "processes", [STORE_TIER_MINUTE] = "minute"};
	BUF_CLEANUP struct buf one = BUF_INIT(TIER_MAX);
	bool any = usage->tiers[tier].chunks > 0;
	int r = api_put_text(&one, TIER_NAME, names[tier]);
	r = r ? r : wire_put_uint(&one, TIER_CHUNKS, usage->tiers[tier].chunks);
	r = r ? r : wire_put_uint(&one, TIER_BYTES, usage->tiers[tier].bytes);
	r = r ? r : wire_put_uint(&one, TIER_UNCOMPACTED, usage->tiers[tier].uncompacted_bytes);
	if (any)
		r = r ? r : api_put_time(&one, TIER_OLDEST, usage->tiers[tier].oldest_us);
	if (any)
		r = r ? r : api_put_time(&one, TIER_NEWEST, usage->tiers[tier].newest_us);
	if (policy && policy->keep_us[tier] > 0)
		r = r ? r : wire_put_uint(&one, TIER_KEEP_S, (uint64_t)policy->keep_us[tier] / 1000000);
	if (policy && policy->max_bytes[tier] > 0)
		r = r ? r : wire_put_uint(&one, TIER_MAX_BYTES, policy->max_bytes[tier]);
	return r ? r : wire_put_bytes(reply, STORAGE_TIERS, one.data, one.len);
}

static int put_storage(struct api *api, const struct store_usage *usage, int64_t looked_us, struct buf *reply)
{
	struct keeper *keeper = api->sources.keeper;
	const struct retention_policy *policy = keeper ? &keeper_options(keeper)->retention : NULL;
	struct keeper_counters counters = {.leads = false};
	char status[STATUS_SIZE];
	store_status(api->sources.store, status, sizeof(status));
	int r = api_put_text(reply, STORAGE_STATUS, status);
	for (enum store_tier tier = STORE_TIER_RAW; tier < STORE_TIER_END && r == 0; tier++)
		r = put_tier(reply, tier, usage, policy);
	r = r ? r : wire_put_uint(reply, STORAGE_ROWS, usage->rows);
	r = r ? r : wire_put_uint(reply, STORAGE_ROW_BYTES, usage->row_bytes);
	r = r ? r : wire_put_uint(reply, STORAGE_TOTAL_BYTES, usage->total_bytes);
	if (policy && policy->max_total_bytes > 0)
		r = r ? r : wire_put_uint(reply, STORAGE_MAX_BYTES, policy->max_total_bytes);
	if (usage->disk_free_bytes != UINT64_MAX)
		r = r ? r : wire_put_uint(reply, STORAGE_DISK_FREE, usage->disk_free_bytes);
	if (keeper)
		keeper_get(keeper, &counters);
	r = r ? r : wire_put_uint(reply, STORAGE_KEEPS_HOUSE, counters.leads);
	if (usage->damaged_tables > 0)
		r = r ? r : wire_put_uint(reply, STORAGE_DAMAGED_TABLES, usage->damaged_tables);
	if (usage->damaged[0])
		r = r ? r : api_put_text(reply, STORAGE_DAMAGED, usage->damaged);
	return r ? r : api_put_time(reply, STORAGE_LOOKED_AT, looked_us);
}

int api_get_storage(struct api *api, const struct auth_identity *who, const uint8_t *request, size_t len,
		    struct buf *reply, struct schema **ret_schema, struct api_error *error)
{
	struct store_usage usage;
	int64_t looked_us;
	*ret_schema = NULL;
	int r = store_usage_lately(api->sources.store, &usage, &looked_us);
	if (r == 0)
		r = put_storage(api, &usage, looked_us, reply);
	return r < 0 ? api_fail_internal(error, r) : 0;
}
