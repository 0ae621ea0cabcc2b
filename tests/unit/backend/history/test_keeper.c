/* The thread: finds what is to be done, does it, stops at once. */
#include "backend/columns/rollup.h"
#include "backend/history/keeper.h"
#include "backend/history/skips.h"
#include "backend/history/tiers.h"
#include "common/clock.h"
#include "common/log.h"
#include "tests/unit/backend/history/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct keeper_options quick = {.seal_every_us = 1000000};

/* Two days ago, so that all windows are over; not at a window's end. */
static void begin_at_noon(struct history *h)
{
	int64_t day = clock_wall_us() / TIERS_DAY_US - 2;
	h->maker.tick.time_us = day * TIERS_DAY_US + 14 * TIERS_HOUR_US;
	h->received_us = clock_wall_us() - TIERS_HOUR_US;
}

static struct keeper_counters wait_until(struct keeper *k, bool (*is)(const struct keeper_counters *))
{
	struct keeper_counters c;
	for (unsigned i = 0; i < 6000; i++) {
		keeper_get(k, &c);
		if (is(&c))
			return c;
		usleep(10000);
	}
	fail_msg("it did not come to it: %zu rows sealed, %zu chunks compacted", (size_t)c.sealed_rows,
		 (size_t)c.compacted_chunks);
	return c;
}

static bool has_compacted(const struct keeper_counters *c)
{
	return c->compacted_chunks >= 2 && c->minute_chunks >= 5;
}

static void all_is_done_in_time(void **state)
{
	struct history *h = *state;
	struct keeper *k;
	struct store_chunk *chunks;
	begin_at_noon(h);
	history_append(h, 120);
	assert_int_equal(keeper_start(h->store, h->schemas, &quick, &k), 0);
	struct keeper_counters c = wait_until(k, has_compacted);
	assert_int_equal(c.sealed_rows, 120);
	assert_int_equal(c.bad_rows + c.duplicate_rows + c.errors + c.damaged_chunks, 0);
	assert_true(c.leads);
	assert_true(c.sealed_samples > 120 && c.cpu_ns > 0);
	assert_false(keeper_is_flooded(k));
	uint64_t before = clock_monotonic_ns();
	keeper_stop(k);
	assert_true(clock_monotonic_ns() - before < 2000000000);
	history_expect_sent(h);
	size_t n = history_chunks(h, STORE_TIER_RAW, 0, &chunks);
	for (size_t i = 0; i < n; i++)
		assert_true(chunks[i].compacted);
	free(chunks);
}

static bool has_dropped(const struct keeper_counters *c)
{
	/* Usage is looked at after the first drop. */
	return c->dropped_bytes > 0 && c->usage.total_bytes > 0 && c->usage.tiers[STORE_TIER_RAW].chunks == 0 &&
	       c->usage.tiers[STORE_TIER_PROCESSES].chunks == 0;
}

/* What is too old when it comes is forgotten too, but not before minutes are made of it. */
static void the_old_is_forgotten(void **state)
{
	struct history *h = *state;
	struct store_chunk *minutes;
	struct keeper_options options = quick;
	struct keeper *k;
	begin_at_noon(h);
	history_append(h, 60);
	history_seal_all(h);
	options.retention.keep_us[STORE_TIER_RAW] = TIERS_DAY_US;
	options.retention.keep_us[STORE_TIER_PROCESSES] = TIERS_HOUR_US;
	assert_int_equal(keeper_start(h->store, h->schemas, &options, &k), 0);
	wait_until(k, has_dropped);
	keeper_stop(k);
	assert_true(history_chunks(h, STORE_TIER_MINUTE, ROLLUP_LAST, &minutes) > 0);
	free(minutes);
}

static bool has_found_damage(const struct keeper_counters *c)
{
	return c->damaged_chunks > 0 && c->compacted_chunks > 0;
}

/* Told once, not at every round. */
static void damage_is_found_once(void **state)
{
	struct history *h = *state;
	struct keeper *k;
	struct store_chunk *chunks;
	struct buf bytes BUF_CLEANUP = {0};
	begin_at_noon(h);
	for (unsigned i = 0; i < 3; i++) {
		history_append(h, 30);
		history_seal_all(h);
	}
	size_t n = history_chunks(h, STORE_TIER_RAW, 0, &chunks);
	assert_true(n >= 3);
	history_read(h, &chunks[0], &bytes);
	bytes.data[50] ^= 4;
	struct store_chunk other = chunks[0];
	other.data = bytes.data;
	other.made_us = clock_wall_us() - TIERS_HOUR_US;
	assert_int_equal(store_replace(h->store, h->host, &chunks[0], 1, &other, 1), 0);
	free(chunks);
	assert_int_equal(keeper_start(h->store, h->schemas, &quick, &k), 0);
	wait_until(k, has_found_damage);
	usleep(1500000);
	struct keeper_counters c;
	keeper_get(k, &c);
	assert_int_equal(c.damaged_chunks, 1);
	keeper_stop(k);
}

static void who_does_not_know_a_period_is_told(void **state)
{
	struct history *h = *state;
	struct keeper *k = NULL;
	const struct keeper_options wrong = {.seal_every_us = 0};
	assert_int_equal(keeper_start(h->store, h->schemas, &wrong, &k), -EINVAL);
	assert_null(k);
	keeper_stop(NULL);
}

static void what_is_given_up_is_remembered(void **state)
{
	struct skips skips = {0};
	struct store_window window = {.host_id = {1}, .window_us = 5, .newest_us = 7};
	assert_false(skips_has(&skips, STORE_TIER_RAW, &window));
	skips_add(&skips, STORE_TIER_RAW, &window);
	assert_true(skips_has(&skips, STORE_TIER_RAW, &window));
	assert_false(skips_has(&skips, STORE_TIER_MINUTE, &window));
	/* Something new came into it. */
	window.newest_us++;
	assert_false(skips_has(&skips, STORE_TIER_RAW, &window));
	for (int64_t i = 0; i < SKIPS_MAX; i++) {
		struct store_window more = {.window_us = 100 + i};
		skips_add(&skips, STORE_TIER_RAW, &more);
		assert_true(skips_has(&skips, STORE_TIER_RAW, &more));
	}
	window.newest_us--;
	assert_false(skips_has(&skips, STORE_TIER_RAW, &window));
	assert_int_equal(skips.n, SKIPS_MAX);
	skips_free(&skips);
}

#define HISTORY_TEST(f) cmocka_unit_test_setup_teardown(f, history_setup, history_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HISTORY_TEST(all_is_done_in_time),
		HISTORY_TEST(the_old_is_forgotten),
		HISTORY_TEST(damage_is_found_once),
		HISTORY_TEST(who_does_not_know_a_period_is_told),
		cmocka_unit_test(what_is_given_up_is_remembered),
	};
	log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_LOGFMT);
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
