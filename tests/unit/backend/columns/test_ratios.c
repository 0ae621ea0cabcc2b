#include "backend/columns/ratios.h"

#include "common/wire.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <math.h>
#include <string.h>

#define N 200

static uint64_t numerators[N], denominators[N], beside[N];
static const struct ratios all = {numerators, denominators, beside};

static void round_trip(unsigned scale, uint64_t usual, const uint64_t *bits, size_t n)
{
	uint64_t back[N];
	ratios_split(scale, usual, bits, n, &all);
	ratios_join(scale, &all, n, back);
	assert_memory_equal(bits, back, n * sizeof(*bits));
	/* In place of one of the three. */
	ratios_join(scale, &all, n, numerators);
	assert_memory_equal(bits, numerators, n * sizeof(*bits));
}

/* N shares of the same whole, up to so many steps beside it. */
static void have_one_denominator(const uint64_t *bits, uint64_t denominator, uint64_t steps)
{
	uint64_t usual;
	unsigned scale;
	assert_true(ratios_likely(bits, N, &scale, &usual));
	assert_int_equal(scale, RATIOS_ONE);
	assert_int_equal(usual, denominator);
	ratios_split(scale, usual, bits, N, &all);
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(denominators[i], denominator);
		assert_true(beside[i] + steps <= 2 * steps);
	}
	round_trip(scale, usual, bits, N);
}

static void shares_are_found(void **state)
{
	uint64_t bits[N], seed = 61;
	for (size_t i = 0; i < N; i++)
		bits[i] = wire_double_bits((double)(fixture_random(&seed) % 200) / 199);
	have_one_denominator(bits, 199, 0);
}

/* As common/rate.h computes them: the time between two ticks comes back, and with it the bytes. */
static void rates_are_found(void **state)
{
	uint64_t bits[N], bytes[N], elapsed[N], seed = 67, usual, right = 0;
	unsigned scale;
	for (size_t i = 0; i < N; i++) {
		bytes[i] = 512 * (fixture_random(&seed) % 20000);
		elapsed[i] = 1000000 + fixture_random(&seed) % 100;
		bits[i] = wire_double_bits((double)bytes[i] * 1e6 / (double)elapsed[i]);
	}
	assert_true(ratios_likely(bits, N, &scale, &usual));
	assert_int_equal(scale, RATIOS_MILLION);
	ratios_split(scale, usual, bits, N, &all);
	for (size_t i = 0; i < N; i++)
		right += numerators[i] == bytes[i] && denominators[i] == elapsed[i] && beside[i] == 0;
	assert_in_range(right, N * 9 / 10, N);
	round_trip(scale, usual, bits, N);
}

/* Rounded twice on the way: some lie a step beside. */
static void percentages_are_found(void **state)
{
	uint64_t bits[N], seed = 71;
	for (size_t i = 0; i < N; i++)
		bits[i] = wire_double_bits((double)(fixture_random(&seed) % 10000) / 100 * 0.01);
	have_one_denominator(bits, 10000, 4);
}

static void noise_is_none(void **state)
{
	uint64_t bits[N], seed = 73, usual;
	unsigned scale;
	for (size_t i = 0; i < N; i++)
		bits[i] = wire_double_bits((double)fixture_random(&seed) / 1e18);
	assert_false(ratios_likely(bits, N, &scale, &usual));
}

static void any_bits_come_back(void **state)
{
	const uint64_t usual[] = {1, 2, 199, 10000, 1000000, 67108864};
	uint64_t bits[N], seed = 79;
	for (int round = 0; round < 500; round++) {
		for (size_t i = 0; i < N; i++) {
			uint64_t kind = fixture_random(&seed) % 4;
			double d = (double)(int64_t)(fixture_value(&seed) - fixture_value(&seed));
			bits[i] = kind == 0   ? fixture_odd_double(&seed)
				  : kind == 1 ? fixture_random(&seed)
				  : kind == 2 ? wire_double_bits(d)
					      : wire_double_bits(d / (double)(1 + fixture_random(&seed) % 1000000));
		}
		round_trip(round % 2 ? RATIOS_ONE : RATIOS_MILLION, usual[round % 6], bits, N);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_are_found),	 cmocka_unit_test(rates_are_found),
		cmocka_unit_test(percentages_are_found), cmocka_unit_test(noise_is_none),
		cmocka_unit_test(any_bits_come_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
