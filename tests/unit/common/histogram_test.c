#include "tests/unit/cmocka_all.h"

#include "common/histogram.h"

static void test_every_bucket_holds_its_own_bounds(void **state)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		unsigned long long lower = histogram_bucket_lower(i), next = histogram_bucket_lower(i + 1);
		assert_int_equal(histogram_bucket(lower), i);
		assert_true(next > lower);
		assert_int_equal(histogram_bucket(i + 1 < HISTOGRAM_BUCKETS ? next - 1 : next), i);
	}
}

static void test_error_is_at_most_an_eighth(void **state)
{
	unsigned long long v = 4;
	for (int i = 0; i < 2000 && v < 1ull << 62; i++, v += v / 37 + 1) {
		unsigned b = histogram_bucket(v);
		double lower = (double)histogram_bucket_lower(b), upper = (double)histogram_bucket_lower(b + 1),
		       middle = (lower + upper) / 2;
		double error = (double)v > middle ? (double)v / middle - 1 : 1 - (double)v / middle;
		assert_true(lower <= (double)v && (double)v < upper);
		assert_true(error <= 0.125);
	}
}

static void test_log2(void **state)
{
	for (unsigned i = 0; i < 64; i++) {
		assert_int_equal(histogram_log2(1ull << i), i);
		assert_int_equal(histogram_log2((1ull << i) | ((1ull << i) - 1)), i);
	}
	assert_int_equal(histogram_bucket(~0ull), HISTOGRAM_BUCKETS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_bucket_holds_its_own_bounds),
		cmocka_unit_test(test_error_is_at_most_an_eighth),
		cmocka_unit_test(test_log2),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
