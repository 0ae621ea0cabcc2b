/* What comes late to a time of which only minutes are left: the minutes are answered, and it where they are not. */
#include "backend/columns/rollup.h"
#include "tests/unit/backend/query/history.h"
#include "tests/unit/cmocka_all.h"

#include <math.h>
#include <stdio.h>

#define WINDOW_US tiers_window_us(STORE_TIER_RAW)
#define T0 (1700000000000000ll / WINDOW_US * WINDOW_US + WINDOW_US)
#define STEP_US 10000000ll
#define A_MINUTE 6
#define MINUTES 90
#define N ((size_t)(MINUTES * A_MINUTE))
#define WINDOW_AFTER 60 /* minutes that lie in the first window */

static void make(struct history *h)
{
	struct columns_tick tick = {.interval_ms = 10000, .instance = "run", .boot_id = "boot"};
	history_open(h);
	for (size_t i = 0; i < N; i++) {
		struct buf sections BUF_CLEANUP = BUF_INIT(1 << 16), metrics BUF_CLEANUP = BUF_INIT(1 << 16);
		tick.time_us = tick.received_us = T0 + WINDOW_US - WINDOW_AFTER * 60000000ll + (int64_t)i * STEP_US;
		tick.sequence = i + 1;
		fixture_custom_uint(&metrics, "jobs", i * 77);
		fixture_custom_int(&metrics, "balance", (int64_t)(i * 7919 % 1000));
		fixture_custom_section(&metrics, &sections);
		history_add(h, &tick, &sections);
	}
}

/* Minutes that were not there: twenty in the first window, one by itself, two in the second. */
static bool is_missing(size_t minute)
{
	return (minute >= 20 && minute < 40) || minute == 45 || minute == 70 || minute == 71;
}

static bool was_there(size_t i, size_t arg)
{
	return !is_missing(i / A_MINUTE);
}

/* One comes as a chunk. Of a minute that was there every second reading comes again: it knows them all. */
static bool comes_as_chunk(size_t i, size_t arg)
{
	return i / A_MINUTE == 45;
}

static bool comes_as_row(size_t i, size_t arg)
{
	size_t minute = i / A_MINUTE;
	return (is_missing(minute) && minute != 45) || (minute == 50 && i % 2 == 0);
}

static void compare(struct history *whole, struct history *other, const char *selector, enum range_function function,
		    int64_t step_us)
{
	char name[128];
	struct history_question q = {.selector = selector,
				     .function = function,
				     .from_us = whole->snapshots[0].tick.time_us,
				     .to_us = whole->snapshots[N - 1].tick.time_us / 60000000 * 60000000,
				     .step_us = step_us};
	struct range_result x = history_answer(whole, &q), y = history_answer(other, &q);
	snprintf(name, sizeof(name), "%s, function %d, step %lld", selector, (int)function, (long long)step_us);
	assert_true(x.n_groups == 1 && x.samples > 0);
	for (size_t i = 0; i < x.points; i++)
		assert_false(isnan(x.groups[0].values[i]));
	history_same(&x, &y, 1e-12, name);
	assert_int_equal(y.n_gaps, 0);
	range_result_free(&x);
	range_result_free(&y);
}

static void late_rows_beside_minutes(void **state)
{
	static const enum range_function of_gauges[] = {RANGE_AVG, RANGE_MIN, RANGE_MAX, RANGE_SUM, RANGE_LAST};
	struct history whole, other;
	make(&whole);
	history_put_rows(&whole, NULL, 0);
	make(&other);
	history_put_minutes(&other, was_there, 0);
	history_put_chunks(&other, NULL, comes_as_chunk, 0, SIZE_MAX, false);
	history_put_rows(&other, comes_as_row, 0);
	for (int64_t step_us = 60000000; step_us <= 600000000; step_us *= 10) {
		for (size_t f = 0; f < sizeof(of_gauges) / sizeof(of_gauges[0]); f++)
			compare(&whole, &other, "custom.balance", of_gauges[f], step_us);
		compare(&whole, &other, "custom.jobs", RANGE_LAST, step_us);
	}
	history_close(&other);
	history_close(&whole);
}

/* Where what the minutes were made of is there as well, all is read as it is. */
static void late_rows_beside_all(void **state)
{
	struct history whole, other;
	make(&whole);
	history_put_rows(&whole, NULL, 0);
	make(&other);
	history_put_minutes(&other, was_there, 0);
	history_put_chunks(&other, NULL, was_there, 0, SIZE_MAX, true);
	history_put_rows(&other, comes_as_row, 0);
	history_put_chunks(&other, NULL, comes_as_chunk, 0, SIZE_MAX, false);
	compare(&whole, &other, "custom.balance", RANGE_SUM, 60000000);
	compare(&whole, &other, "custom.jobs", RANGE_INCREASE, 60000000);
	history_close(&other);
	history_close(&whole);
}

/* Of a metric that no minute has. */
static void late_rows_of_something_new(void **state)
{
	struct history whole, other;
	make(&whole);
	make(&other);
	history_put_rows(&whole, comes_as_row, 0);
	/* Minutes of a history without it. */
	struct history bare;
	history_open(&bare);
	for (size_t i = 0; i < N; i++) {
		struct buf sections BUF_CLEANUP = BUF_INIT(1 << 16), metrics BUF_CLEANUP = BUF_INIT(1 << 16);
		fixture_custom_uint(&metrics, "others", i);
		fixture_custom_section(&metrics, &sections);
		history_add(&bare, &other.snapshots[i].tick, &sections);
	}
	struct buf chunk BUF_CLEANUP = BUF_INIT(1 << 24), minutes[ROLLUP_END];
	struct rollup_result rolled;
	for (unsigned s = 0; s < ROLLUP_END; s++)
		minutes[s] = BUF_INIT(1 << 24);
	history_chunk(&bare, 0, WINDOW_AFTER * A_MINUTE, &chunk);
	assert_int_equal(rollup_minutes(chunk.data, chunk.len, minutes, &rolled), 0);
	for (unsigned s = 0; s < ROLLUP_END; s++) {
		if (minutes[s].len > 0)
			history_put(&other, STORE_TIER_MINUTE, s, true, &minutes[s]);
		buf_free(&minutes[s]);
	}
	history_put_rows(&other, comes_as_row, 0);
	struct history_question q = {.selector = "custom.balance",
				     .function = RANGE_SUM,
				     .from_us = T0 + WINDOW_US - WINDOW_AFTER * 60000000ll,
				     .to_us = T0 + WINDOW_US - 60000000,
				     .step_us = 60000000};
	struct range_result x = history_answer(&whole, &q), y = history_answer(&other, &q);
	history_same(&x, &y, 1e-12, "something new");
	assert_int_equal(y.n_groups, 1);
	range_result_free(&x);
	range_result_free(&y);
	history_close(&bare);
	history_close(&other);
	history_close(&whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(late_rows_beside_minutes),
		cmocka_unit_test(late_rows_beside_all),
		cmocka_unit_test(late_rows_of_something_new),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
