#include "agent/delivery/throttle.h"
#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void is_never_shorter_than_asked_and_bounded(void **state)
{
	static const uint64_t asked[] = {1, 3, 100, 5000, THROTTLE_MAX_MS};
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		uint64_t largest = 0;
		for (uint32_t random = 0; random < 100000; random += 7) {
			uint64_t ms = throttle_delay_ms(asked[i], random * 2654435761u);
			assert_in_range(ms, asked[i], asked[i] + asked[i] / 4);
			largest = ms > largest ? ms : largest;
		}
		assert_true(largest >= asked[i] + asked[i] / 5); /* it does spread */
	}
	assert_in_range(throttle_delay_ms(UINT64_MAX, UINT32_MAX), THROTTLE_MAX_MS, THROTTLE_MAX_MS * 5 / 4);
	assert_int_equal(throttle_delay_ms(0, UINT32_MAX), 0);
}

static void what_overlaps_counts_once(void **state)
{
	struct throttle t = {0};
	assert_int_equal(throttle_left_ms(&t), 0);
	throttle_ask(&t, 0, "nothing");
	assert_int_equal(throttle_stats(&t).asked, 0);
	throttle_ask(&t, 10000, "too much");
	assert_in_range(throttle_left_ms(&t), 9000, 12500);
	uint64_t first_ms = throttle_stats(&t).asked_ms;
	assert_in_range(first_ms, 10000, 12500);
	throttle_ask(&t, 100, "a shorter one takes nothing away");
	assert_in_range(throttle_left_ms(&t), 9000, 12500);
	assert_int_equal(throttle_stats(&t).asked_ms, first_ms);
	throttle_ask(&t, 20000, "a longer one goes on");
	assert_in_range(throttle_left_ms(&t), 19000, 25000);
	struct throttle_stats stats = throttle_stats(&t);
	assert_int_equal(stats.asked, 3);
	assert_in_range(stats.asked_ms, 20000 - 1, 25000 + 1000);
}

static void it_ends(void **state)
{
	struct throttle t = {0};
	throttle_ask(&t, 20, "for a moment");
	assert_true(throttle_left_ms(&t) > 0);
	uint64_t begin_ns = clock_monotonic_ns();
	while (throttle_left_ms(&t) > 0)
		;
	assert_true(clock_monotonic_ns() - begin_ns < 5000000000u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_never_shorter_than_asked_and_bounded),
		cmocka_unit_test(what_overlaps_counts_once),
		cmocka_unit_test(it_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
