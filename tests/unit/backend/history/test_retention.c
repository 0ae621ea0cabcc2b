/* What is to go, and in which order. */
#include "backend/history/retention.h"
#include "tests/unit/cmocka_all.h"

#define DAY 86400000000ll
#define GIB (1ull << 30)
#define NOW (20000 * DAY)

static struct store_usage usage_of(uint64_t raw, int64_t raw_days, uint64_t processes, int64_t processes_days,
				   uint64_t minute, int64_t minute_days)
{
	struct store_usage u = {.disk_free_bytes = 500 * GIB, .total_bytes = raw + processes + minute + GIB};
	const uint64_t bytes[] = {0, raw, processes, minute};
	const int64_t days[] = {0, raw_days, processes_days, minute_days};
	for (enum store_tier t = STORE_TIER_RAW; t < STORE_TIER_END; t++) {
		u.tiers[t].bytes = bytes[t];
		u.tiers[t].chunks = bytes[t] > 0;
		u.tiers[t].oldest_us = bytes[t] > 0 ? NOW - days[t] * DAY : 0;
	}
	return u;
}

static const struct retention_policy policy = {
	.keep_us = {[STORE_TIER_RAW] = 14 * DAY, [STORE_TIER_PROCESSES] = 3 * DAY, [STORE_TIER_MINUTE] = 400 * DAY}};

static void days_are_counted(void **state)
{
	struct retention_drop what;
	struct retention_policy some = policy;
	assert_true(retention_by_age(&some, STORE_TIER_RAW, NOW, &what));
	assert_int_equal(what.tier, STORE_TIER_RAW);
	assert_true(what.before_us == NOW - 14 * DAY);
	assert_true(what.bytes == UINT64_MAX);
	some.keep_us[STORE_TIER_RAW] = 0;
	assert_false(retention_by_age(&some, STORE_TIER_RAW, NOW, &what));
}

static void a_tier_has_a_cap(void **state)
{
	struct retention_policy some = policy;
	struct retention_drop what;
	struct store_usage u = usage_of(10 * GIB, 5, 2 * GIB, 1, GIB, 100);
	assert_false(retention_by_bytes(&some, &u, NOW, false, 0, &what));
	some.max_bytes[STORE_TIER_PROCESSES] = 2 * GIB;
	assert_false(retention_by_bytes(&some, &u, NOW, false, 0, &what));
	some.max_bytes[STORE_TIER_PROCESSES] = 2 * GIB - 77;
	assert_true(retention_by_bytes(&some, &u, NOW, false, 0, &what));
	assert_int_equal(what.tier, STORE_TIER_PROCESSES);
	assert_true(what.bytes == 77 && what.before_us == INT64_MAX);
	assert_false(retention_by_bytes(&some, &u, NOW, false, 1u << STORE_TIER_PROCESSES, &what));
}

/* Of all together the tier goes first that has had most of its time. */
static void all_shrink_alike(void **state)
{
	struct retention_policy some = policy;
	struct retention_drop what;
	some.max_total_bytes = 5 * GIB;
	struct store_usage u = usage_of(10 * GIB, 7, 2 * GIB, 2, GIB, 300);
	assert_true(retention_by_bytes(&some, &u, NOW, false, 0, &what));
	assert_int_equal(what.tier, STORE_TIER_MINUTE); /* 300 of 400 days */
	assert_true(what.bytes == 9 * GIB);
	u = usage_of(10 * GIB, 7, 2 * GIB, 2, GIB, 100);
	assert_true(retention_by_bytes(&some, &u, NOW, false, 0, &what));
	assert_int_equal(what.tier, STORE_TIER_PROCESSES); /* 2 of 3 */
	assert_true(retention_by_bytes(&some, &u, NOW, false, 1u << STORE_TIER_PROCESSES, &what));
	assert_int_equal(what.tier, STORE_TIER_RAW);
	assert_false(retention_by_bytes(&some, &u, NOW, false, ~0u, &what));
	/* Kept for ever is not kept from a full disk. */
	some.keep_us[STORE_TIER_RAW] = 0;
	u = usage_of(10 * GIB, 7, 0, 0, 0, 0);
	assert_true(retention_by_bytes(&some, &u, NOW, false, 0, &what));
	assert_int_equal(what.tier, STORE_TIER_RAW);
}

static void a_disk_is_kept_from_being_full(void **state)
{
	struct retention_drop what;
	struct store_usage u = usage_of(10 * GIB, 7, 2 * GIB, 1, GIB, 100);
	u.disk_free_bytes = GIB;
	assert_int_equal(retention_low_bytes(&u), (14 * GIB) / 20 + GIB / 20);
	assert_false(retention_by_bytes(&policy, &u, NOW, false, 0, &what));
	u.disk_free_bytes = GIB / 2;
	assert_true(retention_by_bytes(&policy, &u, NOW, false, 0, &what));
	assert_int_equal(what.tier, STORE_TIER_RAW);
	assert_true(u.disk_free_bytes + what.bytes > retention_low_bytes(&u));
	/* A large disk is full with 1 GiB left. */
	u = usage_of(100 * GIB, 7, 2 * GIB, 1, GIB, 100);
	u.disk_free_bytes = GIB;
	assert_true(retention_low_bytes(&u) == GIB);
	assert_false(retention_by_bytes(&policy, &u, NOW, false, 0, &what));
	/* Where it is not known, nothing is deleted for it; where the disk itself says so, something is. */
	u.disk_free_bytes = UINT64_MAX;
	assert_int_equal(retention_low_bytes(&u), 0);
	assert_false(retention_by_bytes(&policy, &u, NOW, false, 0, &what));
	assert_true(retention_by_bytes(&policy, &u, NOW, true, 0, &what));
	assert_int_equal(what.bytes, 16 << 20);
	/* Where it is, so much goes that writing can go on, and no more. */
	u = usage_of(20 << 20, 7, 10 << 20, 1, 1 << 20, 100);
	u.total_bytes = 40 << 20;
	u.disk_free_bytes = 8 << 20;
	assert_false(retention_by_bytes(&policy, &u, NOW, false, 0, &what));
	assert_true(retention_by_bytes(&policy, &u, NOW, true, 0, &what));
	assert_int_equal(what.bytes, 4 << 20);
	u.disk_free_bytes = 14 << 20;
	assert_false(retention_by_bytes(&policy, &u, NOW, true, 0, &what));
	u = usage_of(100 * GIB, 7, 2 * GIB, 1, GIB, 100);
	u.disk_free_bytes = GIB + 1;
	assert_false(retention_by_bytes(&policy, &u, NOW, true, 0, &what));
}

static void rows_have_a_limit(void **state)
{
	struct retention_policy some = policy;
	struct store_usage u = usage_of(10 * GIB, 7, 2 * GIB, 1, GIB, 100);
	assert_true(retention_row_bytes(&some, &u) == 2 * GIB);
	u.disk_free_bytes = 5 * GIB;
	assert_true(retention_row_bytes(&some, &u) == 19 * GIB / 10);
	some.max_total_bytes = 10 * GIB;
	assert_true(retention_row_bytes(&some, &u) == GIB);
	some.max_total_bytes = 0;
	u.disk_free_bytes = UINT64_MAX;
	assert_true(retention_row_bytes(&some, &u) == 2 * GIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(days_are_counted),  cmocka_unit_test(a_tier_has_a_cap),
		cmocka_unit_test(all_shrink_alike),  cmocka_unit_test(a_disk_is_kept_from_being_full),
		cmocka_unit_test(rows_have_a_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
