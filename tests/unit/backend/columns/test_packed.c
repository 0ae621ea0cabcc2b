#include "backend/columns/packed.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MANY 5000

/* How many bytes n numbers take; they come back, whatever stands behind their bytes, and can be passed over. */
static size_t round_trip(const int64_t *numbers, size_t n, unsigned shift)
{
	static int64_t back[MANY + 1];
	struct buf bytes BUF_CLEANUP = BUF_INIT(1 << 20);
	assert_int_equal(packed_put(numbers, n, shift, &bytes), 0);
	for (size_t behind = 0; behind < 40; behind += 13) {
		uint8_t *copy = malloc(bytes.len + behind + 1); /* exact, so that the sanitizer sees a read beyond */
		memset(copy, 0xa5, bytes.len + behind);
		if (bytes.len > 0)
			memcpy(copy, bytes.data, bytes.len);
		struct wire_reader in = wire_reader(copy, bytes.len + behind);
		back[n] = 77;
		assert_int_equal(packed_take(&in, n, back), 0);
		assert_ptr_equal(in.p, copy + bytes.len);
		assert_int_equal(back[n], 77);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(back[i] * (int64_t)(1ull << shift), numbers[i]);
		in = wire_reader(copy, bytes.len + behind);
		assert_int_equal(packed_take(&in, n, NULL), 0);
		assert_ptr_equal(in.p, copy + bytes.len);
		free(copy);
	}
	return bytes.len;
}

static void every_width_comes_back(void **state)
{
	int64_t v[50];
	uint64_t seed = 3;
	for (unsigned width = 0; width <= 64; width++) {
		for (size_t n = 0; n <= 50; n++) {
			for (size_t i = 0; i < n; i++)
				v[i] = width == 0 ? 0 : (int64_t)(fixture_random(&seed) >> (64 - width));
			round_trip(v, n, 0);
			for (size_t i = 0; i < n; i++)
				v[i] = (int64_t)(0 - (uint64_t)v[i]);
			round_trip(v, n, 0);
		}
	}
	v[0] = INT64_MIN;
	v[1] = INT64_MAX;
	round_trip(v, 2, 0);
}

static void what_all_are_multiples_of_is_left_out(void **state)
{
	int64_t v[200];
	uint64_t seed = 5;
	for (size_t i = 0; i < 200; i++)
		v[i] = ((int64_t)(fixture_random(&seed) % 9) - 4) * 4096;
	assert_in_range(round_trip(v, 200, 12), 100, 13 + 200 / 2);
	v[3] = INT64_MIN;
	round_trip(v, 200, 12);
	for (size_t i = 0; i < 200; i++)
		v[i] = i % 3 ? INT64_MIN : 0;
	round_trip(v, 200, 63);
}

/* A zero costs nothing beside others, and a burst makes its neighbours wide only. */
static void zeros_are_counted(void **state)
{
	static int64_t v[MANY];
	assert_int_equal(round_trip(v, 16, 0), 1);
	assert_int_equal(round_trip(v, 191 * 16, 0), 1);
	assert_int_equal(round_trip(v, 191 * 16 + 1, 0), 2);
	v[2000] = -3;
	assert_int_equal(round_trip(v, MANY, 0), 2 + (1 + 16 * 3 / 8));
	v[0] = v[MANY - 1] = 1ll << 40;
	assert_int_equal(round_trip(v, MANY, 0), 2 + 7 + (1 + 2 * 42) + 1 + (MANY % 16 * 42 + 7) / 8);
}

static void bursts_come_back(void **state)
{
	static int64_t v[MANY];
	for (uint64_t seed = 1; seed < 20; seed++) {
		uint64_t random = seed;
		for (size_t i = 0; i < MANY; i++)
			v[i] = fixture_random(&random) % 50 < seed ? (int64_t)fixture_value(&random) : 0;
		round_trip(v, MANY - seed, 0);
	}
}

static int take(const uint8_t *data, size_t len, size_t n)
{
	int64_t ret[100];
	uint8_t *copy = malloc(len + 1);
	memcpy(copy, data, len);
	struct wire_reader in = wire_reader(copy, len);
	int r = packed_take(&in, n, n <= 100 ? ret : NULL);
	free(copy);
	return r;
}

static void what_no_writer_wrote_is_told(void **state)
{
	const uint8_t wide[] = {64, 1, 2, 3, 4, 5, 6, 7}, zeros[] = {64 + 7}, none[] = {0};
	assert_int_equal(take(wide, sizeof(wide), 1), -EPROTO); /* one byte is missing */
	assert_int_equal(take(wide, 0, 1), -EPROTO);
	assert_int_equal(take(wide, 0, 0), 0);
	assert_int_equal(take(zeros, 1, 97), 0); /* the seventh group has one */
	assert_int_equal(take(zeros, 1, 96), -EPROTO);
	assert_int_equal(take(zeros, 1, 113), -EPROTO);
	assert_int_equal(take(none, 1, 16), 0); /* a group of no bits */
	assert_int_equal(take(none, 1, 17), -EPROTO);
}

static void any_bytes_do_no_harm(void **state)
{
	uint8_t bytes[64];
	uint64_t seed = 9;
	unsigned taken = 0;
	for (int round = 0; round < 50000; round++) {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)fixture_random(&seed) >> fixture_random(&seed) % 8;
		int r = take(bytes, fixture_random(&seed) % 65, fixture_random(&seed) % 101);
		assert_true(r == 0 || r == -EPROTO);
		taken += r == 0;
	}
	assert_in_range(taken, 1000, 49000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_width_comes_back),
		cmocka_unit_test(what_all_are_multiples_of_is_left_out),
		cmocka_unit_test(zeros_are_counted),
		cmocka_unit_test(bursts_come_back),
		cmocka_unit_test(what_no_writer_wrote_is_told),
		cmocka_unit_test(any_bytes_do_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
