#include "agent/perf/scale.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS 1000000ull

static struct perf_increment feed(struct perf_scaled *s, uint64_t value, uint64_t enabled, uint64_t running)
{
	struct perf_reading now = {value, enabled, running};
	return perf_scale(s, &now);
}

static void all_of_the_time_is_exact(void **state)
{
	struct perf_scaled s = {.count = 0};
	assert_int_equal(feed(&s, 1000, 10 * MS, 10 * MS).interval, PERF_INTERVAL_FULL);
	assert_int_equal(feed(&s, 1500, 20 * MS, 20 * MS).count, 500);
	assert_int_equal(s.count, 1500);
	/* A member starts a moment after its group is enabled. */
	assert_int_equal(feed(&s, 2000, 30 * MS, 30 * MS - 40000).interval, PERF_INTERVAL_FULL);
}

static void part_of_the_time_is_scaled_by_the_interval(void **state)
{
	struct perf_scaled s = {.count = 0};
	struct perf_increment i = feed(&s, 1000, 10 * MS, 5 * MS);
	assert_int_equal(i.interval, PERF_INTERVAL_MULTIPLEXED);
	assert_int_equal(i.count, 2000);
	/* Over its life the event ran for 15 of 20 ms; in this interval all of the time. */
	i = feed(&s, 1800, 20 * MS, 15 * MS);
	assert_int_equal(i.interval, PERF_INTERVAL_FULL);
	assert_int_equal(i.count, 800);
	assert_int_equal(s.count, 2800);
	i = feed(&s, 1900, 30 * MS, 16 * MS);
	assert_int_equal(i.count, 1000);
	assert_int_equal(s.count, 3800);
}

static void never_on_the_pmu_is_not_zero(void **state)
{
	struct perf_scaled s = {.count = 0};
	struct perf_increment i = feed(&s, 0, 10 * MS, 0);
	assert_int_equal(i.interval, PERF_INTERVAL_ABSENT);
	assert_false(s.ever);
	assert_int_equal(i.enabled_ns, 10 * MS);
	feed(&s, 700, 20 * MS, 10 * MS);
	assert_true(s.ever);
	assert_int_equal(s.count, 700);
	assert_int_equal(feed(&s, 700, 30 * MS, 10 * MS).interval, PERF_INTERVAL_ABSENT);
	assert_int_equal(s.count, 700);
}

static void no_time_says_nothing(void **state)
{
	struct perf_scaled s = {.count = 0};
	feed(&s, 100, 10 * MS, 10 * MS);
	assert_int_equal(feed(&s, 100, 10 * MS, 10 * MS).interval, PERF_INTERVAL_NONE);
	assert_int_equal(s.count, 100);
}

static void backwards_starts_again_without_a_spike(void **state)
{
	struct perf_scaled s = {.count = 0};
	feed(&s, 5000, 50 * MS, 50 * MS);
	assert_int_equal(feed(&s, 10, 1 * MS, 1 * MS).interval, PERF_INTERVAL_NONE);
	assert_int_equal(s.count, 5000);
	assert_int_equal(feed(&s, 40, 2 * MS, 2 * MS).count, 30);
	assert_int_equal(s.count, 5030);
	/* Only one of the three. */
	assert_int_equal(feed(&s, 30, 3 * MS, 3 * MS).interval, PERF_INTERVAL_NONE);
	assert_int_equal(feed(&s, 50, 4 * MS, 2 * MS).interval, PERF_INTERVAL_NONE);
	assert_int_equal(s.count, 5030);
}

static void the_largest_values_do_not_wrap(void **state)
{
	struct perf_scaled s = {.count = 0};
	struct perf_increment i = feed(&s, UINT64_MAX, UINT64_MAX, 1);
	assert_int_equal(i.count, UINT64_MAX);
	assert_int_equal(s.count, UINT64_MAX);
	s = (struct perf_scaled){.last = {.value = 1, .enabled_ns = 1, .running_ns = 1}, .count = UINT64_MAX - 1};
	feed(&s, 11, 11, 11);
	assert_int_equal(s.count, UINT64_MAX);
	/* A product of more than 64 bits, a result of less. */
	s = (struct perf_scaled){.count = 0};
	i = feed(&s, 1ull << 40, 1ull << 42, 1ull << 41);
	assert_int_equal(i.count, 1ull << 41);
}

static void coverage_is_a_ratio(void **state)
{
	assert_true(perf_coverage(0, 0) == 0);
	assert_true(perf_coverage(100, 25) == 0.25);
	assert_true(perf_coverage(100, 101) == 1);
	assert_true(perf_coverage(100, 0) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_of_the_time_is_exact),
		cmocka_unit_test(part_of_the_time_is_scaled_by_the_interval),
		cmocka_unit_test(never_on_the_pmu_is_not_zero),
		cmocka_unit_test(no_time_says_nothing),
		cmocka_unit_test(backwards_starts_again_without_a_spike),
		cmocka_unit_test(the_largest_values_do_not_wrap),
		cmocka_unit_test(coverage_is_a_ratio),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
