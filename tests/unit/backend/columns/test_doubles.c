#include "backend/columns/doubles.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <math.h>
#include <string.h>

static unsigned round_trip(const double *values, size_t n)
{
	uint64_t bits[64], integers[64], back[64];
	memcpy(bits, values, n * sizeof(*values));
	unsigned scale = doubles_split(bits, n, integers);
	doubles_join(scale, integers, n, back);
	assert_memory_equal(bits, back, n * sizeof(*bits));
	return scale;
}

static void decimals_are_found(void **state)
{
	assert_int_equal(round_trip((const double[]){1, 2, 3e15, -7, 0}, 5), 0);
	assert_int_equal(round_trip((const double[]){0.5, 0.25, 1e6}, 3), 2);
	assert_int_equal(round_trip((const double[]){0.005, 0.1, 0.3}, 3), 3);
	assert_int_equal(round_trip((const double[]){17.04}, 1), 2);
}

static void what_is_no_decimal_keeps_its_bits(void **state)
{
	assert_int_equal(round_trip((const double[]){1.0 / 3}, 1), DOUBLES_BITS);
	assert_int_equal(round_trip((const double[]){0.5, -0.0}, 2), DOUBLES_BITS);
	assert_int_equal(round_trip((const double[]){0.5, NAN}, 2), DOUBLES_BITS);
	assert_int_equal(round_trip((const double[]){INFINITY, -INFINITY, 1e300, -1e-300, 5e-324}, 5), DOUBLES_BITS);
	/* Each is one, but not of as many digits as the other needs. */
	assert_int_equal(round_trip((const double[]){9007199254740991.0, 0.001}, 2), DOUBLES_BITS);
}

static void any_bits_come_back(void **state)
{
	uint64_t bits[16], integers[16], back[16], seed = 17;
	for (int round = 0; round < 5000; round++) {
		for (size_t i = 0; i < 16; i++)
			bits[i] = fixture_value(&seed) << (fixture_random(&seed) % 64);
		unsigned scale = doubles_split(bits, 16, integers);
		doubles_join(scale, integers, 16, back);
		assert_memory_equal(bits, back, sizeof(bits));
	}
}

/* Close numbers are close integers, across zero too. */
static void bits_keep_the_order(void **state)
{
	const double ascending[] = {-INFINITY, -1.1, -1.0 / 3, -5e-324, 0, 5e-324, 1.0 / 3, 1.1, INFINITY};
	uint64_t bits[9], integers[9];
	memcpy(bits, ascending, sizeof(bits));
	assert_int_equal(doubles_split(bits, 9, integers), DOUBLES_BITS);
	for (size_t i = 1; i < 9; i++)
		assert_true((int64_t)integers[i] > (int64_t)integers[i - 1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decimals_are_found),
		cmocka_unit_test(what_is_no_decimal_keeps_its_bits),
		cmocka_unit_test(any_bits_come_back),
		cmocka_unit_test(bits_keep_the_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
