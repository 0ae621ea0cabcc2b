/* The rates of agent keys: bursts, debts, keys apart, clocks that are late. */
#include "backend/ingest/rates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define S 1000000000ull

static struct rates *with(uint32_t snapshots, uint64_t bytes)
{
	struct rates *rates = rates_new((struct rates_limits){.snapshots = snapshots, .bytes = bytes});
	assert_non_null(rates);
	return rates;
}

static void test_no_limit(void **state)
{
	struct rates *rates = with(0, 0);
	assert_int_equal(rates_charge(rates, 1, SIZE_MAX, SIZE_MAX, S), 0);
	assert_int_equal(rates_wait_ms(rates, 1, S), 0);
	rates_free(rates);
	rates_free(NULL);
}

static void test_a_burst_then_the_rate(void **state)
{
	struct rates *rates = with(100, 0);
	assert_int_equal(rates_charge(rates, 1, 100 * RATES_BURST_SECONDS, 1u << 30, S), 0);
	assert_in_range(rates_charge(rates, 1, 50, 0, S), 499, 502);
	assert_in_range(rates_wait_ms(rates, 1, S + S / 4), 249, 252);
	assert_int_equal(rates_wait_ms(rates, 1, 2 * S), 0);
	/* A day of silence saves up no more than a burst. */
	assert_in_range(rates_charge(rates, 1, 100 * (RATES_BURST_SECONDS + 1), 0, 86400 * S), 999, 1002);
	rates_free(rates);
}

static void test_bytes_count_too(void **state)
{
	struct rates *rates = with(1000000, 1000);
	assert_in_range(rates_charge(rates, 1, 1, 1000 * (RATES_BURST_SECONDS + 2), S), 1999, 2002);
	rates_free(rates);
}

static void test_keys_do_not_share(void **state)
{
	struct rates *rates = with(1, 0);
	for (int64_t key = 100; key > 0; key--)
		assert_int_equal(rates_charge(rates, key, RATES_BURST_SECONDS, 0, S), 0);
	assert_true(rates_charge(rates, 50, 3, 0, S) > 2900);
	for (int64_t key = 1; key <= 100; key++)
		assert_int_equal(rates_wait_ms(rates, key, S) > 0, key == 50);
	rates_free(rates);
}

static void test_a_late_clock(void **state)
{
	struct rates *rates = with(1, 0);
	assert_true(rates_charge(rates, 1, RATES_BURST_SECONDS + 1, 0, 100 * S) > 0);
	assert_true(rates_wait_ms(rates, 1, 1 * S) > 0);
	assert_int_equal(rates_wait_ms(rates, 1, 102 * S), 0);
	rates_free(rates);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_limit),	cmocka_unit_test(test_a_burst_then_the_rate),
		cmocka_unit_test(test_bytes_count_too), cmocka_unit_test(test_keys_do_not_share),
		cmocka_unit_test(test_a_late_clock),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
