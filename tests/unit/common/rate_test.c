#include "common/rate.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void takes_the_rate(void **state)
{
	double rate = -1;
	assert_true(rate_per_second(1000, 1500, 250000, &rate));
	assert_true(rate == 2000.0);
	assert_true(rate_per_second(7, 7, 1, &rate));
	assert_true(rate == 0.0);
}

static void is_absent_after_a_reset_and_without_time(void **state)
{
	double rate = -1;
	assert_false(rate_per_second(1000, 999, 1000000, &rate));
	assert_false(rate_per_second(1000, 2000, 0, &rate));
	assert_true(rate == -1);
}

static void keeps_the_last_digits_of_large_counters(void **state)
{
	double rate = -1;
	assert_true(rate_per_second(UINT64_MAX - 3, UINT64_MAX, 1000000, &rate));
	assert_true(rate == 3.0);
}

static void a_counter_of_32_bits_comes_round(void **state)
{
	const uint64_t top = UINT32_MAX; /* 2^32 - 1 */
	double rate = -1;
	assert_true(rate_per_second_wrapping(top - 99, 900, 1000000, 1e9, &rate));
	assert_true(rate == 1000.0);
	assert_true(rate_per_second_wrapping(top, 0, 500000, 1e9, &rate));
	assert_true(rate == 2.0);
	assert_true(rate_per_second_wrapping(5, top + 10, 1000000, 1, &rate)); /* growth is never questioned */
	assert_true(rate == (double)top + 5);
	assert_true(rate_per_second_wrapping(top - 99, 900, 1000000, 1000, &rate)); /* exactly as fast as may be */
}

static void a_decrease_that_is_no_wrap_is_a_reset(void **state)
{
	const uint64_t top = UINT32_MAX;
	double rate = -1;
	assert_false(rate_per_second_wrapping(top - 99, 900, 1000000, 999, &rate));	/* faster than the link */
	assert_false(rate_per_second_wrapping(top + 1, 0, 1000000, 1e12, &rate));	/* 64 bits beneath */
	assert_false(rate_per_second_wrapping(top / 4, 0, 1000000, 1e12, &rate));	/* far from the top */
	assert_false(rate_per_second_wrapping(top - 5, top - 6, 1000000, 1e12, &rate)); /* all the way round */
	assert_false(rate_per_second_wrapping(top, 0, 0, 1e12, &rate));
	assert_true(rate == -1);
}

static void carries_on_beyond_32_bits(void **state)
{
	uint64_t n = rate_extend_u32(0, 0x7fffffff);
	n = rate_extend_u32(n, 0xfffffff0);
	assert_true(n == 0xfffffff0);
	n = rate_extend_u32(n, 0x10);
	assert_true(n == 0x100000010);
	assert_true(rate_extend_u32(n, 0x10) == n);
	assert_true(rate_extend_u32(n, 0x0f) == 0x0f); /* went back: reset */
	assert_true(rate_extend_u32(0x100000005, 0x80000004) == 0x180000004);
	assert_true(rate_extend_u32(0x100000005, 0x80000005) == 0x80000005); /* half the way round: reset */
}

static void clamps_a_delta(void **state)
{
	assert_int_equal(rate_delta(5, 9), 4);
	assert_int_equal(rate_delta(9, 5), 0);
	assert_true(rate_delta(0, UINT64_MAX) == UINT64_MAX);
}

static void shares_ignore_what_went_backwards(void **state)
{
	/* user, idle, iowait: iowait stepped back. */
	const uint64_t before[] = {100, 1000, 50}, after[] = {130, 1010, 40};
	double share = -1;
	assert_true(rate_share(before, after, 3, 0, &share));
	assert_true(share == 0.75);
	assert_true(rate_share(before, after, 3, 2, &share));
	assert_true(share == 0.0);
}

static void a_share_of_nothing_is_absent(void **state)
{
	const uint64_t before[] = {5, 6}, full[] = {0, 0}, after[] = {UINT64_MAX, UINT64_MAX};
	double share = -1;
	assert_false(rate_share(before, before, 2, 0, &share));
	assert_false(rate_share(full, after, 2, 0, &share));
	assert_false(rate_share(full, after, 1, 1, &share));
	assert_true(share == -1);
}

static void tells_growth_per_growth(void **state)
{
	double each = -1;
	assert_false(rate_per(10, 9, 0, 2, &each));
	assert_false(rate_per(10, 12, 5, 5, &each));
	assert_false(rate_per(10, 12, 5, 4, &each));
	assert_true(each == -1);
	assert_true(rate_per(10, 13, 5, 7, &each));
	assert_true(each == 1.5);
	assert_true(rate_per(UINT64_MAX - 1, UINT64_MAX, UINT64_MAX - 4, UINT64_MAX, &each));
	assert_true(each == 0.25);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_the_rate),
		cmocka_unit_test(is_absent_after_a_reset_and_without_time),
		cmocka_unit_test(keeps_the_last_digits_of_large_counters),
		cmocka_unit_test(a_counter_of_32_bits_comes_round),
		cmocka_unit_test(a_decrease_that_is_no_wrap_is_a_reset),
		cmocka_unit_test(carries_on_beyond_32_bits),
		cmocka_unit_test(clamps_a_delta),
		cmocka_unit_test(shares_ignore_what_went_backwards),
		cmocka_unit_test(a_share_of_nothing_is_absent),
		cmocka_unit_test(tells_growth_per_growth),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
