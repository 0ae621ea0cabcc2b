#include "agent/delivery/hold.h"
#include "agent/delivery/throttle.h"
#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void the_end_of_a_hold_is_spread(void **state)
{
	unsigned seconds[HOLD_SPREAD_MS / 1000] = {0};
	for (uint32_t i = 0; i < 1000; i++) {
		uint64_t ms = hold_delay_ms(0, i * 2654435761u);
		assert_in_range(ms, 0, HOLD_SPREAD_MS - 1);
		seconds[ms / 1000]++;
	}
	for (size_t i = 0; i < HOLD_SPREAD_MS / 1000; i++)
		assert_in_range(seconds[i], 50, 200); /* of a thousand that are told together */
}

static void is_never_shorter_than_asked_and_bounded(void **state)
{
	for (uint32_t random = 0; random < 100000; random += 7)
		assert_in_range(hold_delay_ms(30000, random * 2654435761u), 30000, 37500);
	assert_in_range(hold_delay_ms(UINT64_MAX, UINT32_MAX), THROTTLE_MAX_MS, THROTTLE_MAX_MS * 5 / 4);
}

static void the_last_word_counts(void **state)
{
	struct hold h = {0};
	hold_ask(&h, 0, "an end without a beginning");
	assert_int_equal(hold_left_ms(&h), 0);
	assert_int_equal(hold_count(&h), 0);
	hold_ask(&h, 200000, "long");
	assert_in_range(hold_left_ms(&h), 199000, 250000);
	hold_ask(&h, 20000, "less");
	assert_in_range(hold_left_ms(&h), 19000, 25000);
	assert_int_equal(hold_count(&h), 1);
	hold_ask(&h, 0, NULL);
	assert_in_range(hold_left_ms(&h), 0, HOLD_SPREAD_MS);
}

static void each_beginning_counts(void **state)
{
	struct hold h = {0};
	hold_ask(&h, 20, "for a moment");
	assert_true(hold_left_ms(&h) > 0);
	uint64_t begin_ns = clock_monotonic_ns();
	while (hold_left_ms(&h) > 0)
		;
	assert_true(clock_monotonic_ns() - begin_ns < 5000000000u);
	hold_ask(&h, 20000, "again");
	assert_int_equal(hold_count(&h), 2);
	hold_forget(&h);
	assert_int_equal(hold_left_ms(&h), 0);
	assert_int_equal(hold_count(&h), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_end_of_a_hold_is_spread),
		cmocka_unit_test(is_never_shorter_than_asked_and_bounded),
		cmocka_unit_test(the_last_word_counts),
		cmocka_unit_test(each_beginning_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
