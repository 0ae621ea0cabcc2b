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

static void shares_are_found(void **state)
{
	uint64_t bits[N], seed = 61, usual;
	unsigned scale;
	for (size_t i = 0; i < N; i++)
		bits[i] = wire_double_bits((double)(fixture_random(&seed) % 200) / 199);
	assert_true(ratios_likely(bits, N, &scale, &usual));
	assert_int_equal(scale, RATIOS_ONE);
	assert_int_equal(usual, 199);
	ratios_split(scale, usual, bits, N, &all);
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(denominators[i], 199);
		assert_int_equal(beside[i], 0);
	}
	round_trip(scale, usual, bits, N);
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
	uint64_t bits[N], seed = 71, usual;
	unsigned scale;
	for (size_t i = 0; i < N; i++)
		bits[i] = wire_double_bits((double)(fixture_random(&seed) % 10000) / 100 * 0.01);
	assert_true(ratios_likely(bits, N, &scale, &usual));
	assert_int_equal(scale, RATIOS_ONE);
	assert_int_equal(usual, 10000);
	ratios_split(scale, usual, bits, N, &all);
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(denominators[i], 10000);
		assert_true(beside[i] + 4 <= 8);
	}
	round_trip(scale, usual, bits, N);
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
	const uint64_t odd[] = {0,
				1ull << 63,
				0x7ff8000000000000,
				0x7ff8dead0000beef,
				0xfff0000000000001,
				0x7ff0000000000000,
				0xfff0000000000000,
				1,
				0x7fefffffffffffff,
				0xffefffffffffffff};
	const uint64_t usual[] = {1, 2, 199, 10000, 1000000, 67108864};
	uint64_t bits[N], seed = 79;
	for (int round = 0; round < 500; round++) {
		for (size_t i = 0; i < N; i++) {
			uint64_t kind = fixture_random(&seed) % 4;
			double d = (double)(int64_t)(fixture_value(&seed) - fixture_value(&seed));
			bits[i] = kind == 0   ? odd[fixture_random(&seed) % 10]
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
