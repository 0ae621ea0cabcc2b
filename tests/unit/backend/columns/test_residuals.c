#include "backend/columns/residuals.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define MANY 20000

static void round_trip_short(const int64_t *values, size_t n)
{
	uint8_t bytes[40 * 32];
	int64_t back[40];
	struct residuals_model model;
	struct range_encoder encoder;
	struct range_decoder decoder;
	residuals_model_init(&model, RESIDUALS_VALUES);
	range_encoder_init(&encoder, bytes, sizeof(bytes));
	residuals_encode(&model, &encoder, values, n, NULL);
	range_encoder_finish(&encoder);
	residuals_model_init(&model, RESIDUALS_VALUES);
	range_decoder_init(&decoder, bytes, encoder.len);
	residuals_decode(&model, &decoder, back, n, NULL);
	assert_memory_equal(values, back, n * sizeof(*values));
}

static size_t round_trip_from(enum residuals_prior prior, const int64_t *values, size_t n)
{
	static uint8_t bytes[MANY * 32 + 64];
	static int64_t back[MANY];
	struct residuals_model model;
	struct range_encoder encoder;
	struct range_decoder decoder;
	residuals_model_init(&model, prior);
	range_encoder_init(&encoder, bytes, sizeof(bytes));
	/* In two runs: what was learnt goes on, the history does not. */
	residuals_encode(&model, &encoder, values, n / 2, NULL);
	residuals_encode(&model, &encoder, values + n / 2, n - n / 2, NULL);
	range_encoder_finish(&encoder);
	assert_true(encoder.len <= encoder.cap);
	residuals_model_init(&model, prior);
	range_decoder_init(&decoder, bytes, encoder.len);
	memset(back, 0x55, sizeof(back));
	residuals_decode(&model, &decoder, back, n / 2, NULL);
	residuals_decode(&model, &decoder, back + n / 2, n - n / 2, NULL);
	assert_memory_equal(values, back, n * sizeof(*values));
	assert_true(decoder.beyond <= 4);
	return encoder.len;
}

/* From nothing, and from what a model knows of values. */
static size_t round_trip(const int64_t *values, size_t n)
{
	(void)round_trip_from(RESIDUALS_VALUES, values, n);
	return round_trip_from(RESIDUALS_UNPRIMED, values, n);
}

/* The bytes are the format: what was written before is read by what comes after. */
static void bytes_are_always_the_same(void **state)
{
	static uint8_t bytes[MANY * 32];
	static int64_t values[MANY];
	static const struct {
		size_t len;
		unsigned long crc;
	} expected[RESIDUALS_PRIORS] = {
		[RESIDUALS_UNPRIMED] = {55182, 0x599afb36},	[RESIDUALS_VALUES] = {55012, 0xaf4dbf6},
		[RESIDUALS_DENOMINATORS] = {55021, 0xc467470d}, [RESIDUALS_BESIDE] = {55365, 0xaf2df9c5},
		[RESIDUALS_BUCKETS] = {55145, 0xa2fc9a4c},	[RESIDUALS_TICKS] = {55098, 0x5d1bb796},
	};
	struct residuals_model model;
	struct range_encoder encoder;
	uint64_t seed = 3;
	for (size_t i = 0; i < MANY; i++) {
		uint64_t v = fixture_random(&seed) >> (i < MANY / 2 ? 56 : i % 64);
		values[i] = (int64_t)v - (int64_t)(i % 200);
	}
	for (enum residuals_prior prior = 0; prior < RESIDUALS_PRIORS; prior++) {
		residuals_model_init(&model, prior);
		range_encoder_init(&encoder, bytes, sizeof(bytes));
		residuals_encode(&model, &encoder, values, MANY, NULL);
		range_encoder_finish(&encoder);
		assert_int_equal(encoder.len, expected[prior].len);
		assert_int_equal(crc32(0, bytes, (unsigned)encoder.len), expected[prior].crc);
	}
}

static size_t encoded(enum residuals_prior prior, const int64_t *values, size_t n)
{
	static uint8_t bytes[MANY * 32];
	struct residuals_model model;
	struct range_encoder encoder;
	residuals_model_init(&model, prior);
	range_encoder_init(&encoder, bytes, sizeof(bytes));
	residuals_encode(&model, &encoder, values, n, NULL);
	range_encoder_finish(&encoder);
	return encoder.len;
}

/* What a prior is for: a growth of some bits, now and then zero, of which there are only a hundred. Long runs learn by
 * themselves. */
static void a_prior_spares_learning(void **state)
{
	static int64_t values[MANY];
	uint64_t seed = 11, before = 0, now = 0;
	for (unsigned bits = 4; bits <= 16; bits++) {
		for (size_t i = 0; i < MANY; i++)
			values[i] = i % 7 == 0 ? 0 : (int64_t)(fixture_random(&seed) >> (64 - bits)) - 3;
		before += encoded(RESIDUALS_UNPRIMED, values, 100);
		now += encoded(RESIDUALS_VALUES, values, 100);
		size_t long_before = encoded(RESIDUALS_UNPRIMED, values, MANY);
		assert_in_range(encoded(RESIDUALS_VALUES, values, MANY), long_before * 98 / 100,
				long_before + long_before / 500);
	}
	assert_true(now * 100 < before * 92);
}

/* A coder that has no room counts on and writes nothing beyond. */
static void too_little_room_is_told(void **state)
{
	uint8_t bytes[64];
	int64_t values[200];
	struct residuals_model model;
	struct range_encoder encoder;
	uint64_t seed = 5;
	for (size_t i = 0; i < 200; i++)
		values[i] = (int64_t)fixture_random(&seed);
	for (size_t room = 0; room < 20; room++) {
		memset(bytes, 0x55, sizeof(bytes));
		residuals_model_init(&model, RESIDUALS_VALUES);
		range_encoder_init(&encoder, bytes, room);
		residuals_encode(&model, &encoder, values, 200, NULL);
		range_encoder_finish(&encoder);
		assert_true(encoder.len > 200 * 7);
		for (size_t i = room; i < sizeof(bytes); i++)
			assert_int_equal(bytes[i], 0x55);
	}
}

static void extremes_come_back(void **state)
{
	const int64_t values[] = {0, 1,	 -1,	    INT64_MAX,	  INT64_MIN, INT64_MIN + 1, 0, 0,
				  2, -2, 1ll << 62, -(1ll << 62), 3};
	for (size_t n = 0; n <= sizeof(values) / sizeof(values[0]); n++)
		round_trip(values, n);
}

static void anything_comes_back(void **state)
{
	static int64_t values[MANY];
	uint64_t seed = 1;
	for (int round = 0; round < 20; round++) {
		unsigned shift = (unsigned)(fixture_random(&seed) % 64);
		for (size_t i = 0; i < MANY; i++) {
			uint64_t v = fixture_random(&seed) >> (round < 10 ? shift : fixture_random(&seed) % 64);
			values[i] = (int64_t)(fixture_random(&seed) % 3 ? v : 0 - v);
		}
		round_trip(values, MANY);
	}
}

/* A carry has to run through bytes of 0xff that are already told: likely decisions that come otherwise, often. */
static void carries_run_back(void **state)
{
	static int64_t values[MANY];
	for (uint64_t seed = 1; seed < 40; seed++) {
		uint64_t s = seed;
		for (size_t i = 0; i < MANY; i++)
			values[i] = fixture_random(&s) % 400 ? 0 : (int64_t)(fixture_random(&s) >> (s % 60));
		round_trip(values, MANY);
	}
}

/* Streams that begin with bytes of 0xff, and all other beginnings. */
static void many_streams_come_back(void **state)
{
	int64_t values[40];
	for (uint64_t seed = 1; seed < 20000; seed++) {
		uint64_t s = seed;
		size_t n = 1 + seed % 40;
		for (size_t i = 0; i < n; i++) {
			values[i] = (int64_t)fixture_value(&s);
			if (fixture_random(&s) % 2)
				values[i] = (int64_t)(0 - (uint64_t)values[i]);
		}
		round_trip_short(values, n);
	}
}

static void what_repeats_costs_next_to_nothing(void **state)
{
	static int64_t values[MANY];
	memset(values, 0, sizeof(values));
	assert_true(round_trip(values, MANY) < 40);
	/* Every fifth tick something new: knowing the last eight is enough to know when. */
	uint64_t seed = 3;
	for (size_t i = 0; i < MANY; i += 5)
		values[i] = (int64_t)(fixture_random(&seed) % 16) + 1;
	assert_true(round_trip(values, MANY) < MANY / 5 * 5 / 8 + 400);
}

/* Eight bits of noise cost eight bits and little more. */
static void noise_costs_its_entropy(void **state)
{
	static int64_t values[MANY];
	uint64_t seed = 5;
	for (size_t i = 0; i < MANY; i++)
		values[i] = (int64_t)(fixture_random(&seed) % 256) - 128;
	size_t bytes = round_trip(values, MANY);
	assert_in_range(bytes, MANY - 200, MANY + MANY / 20);
}

/* A hint that tells when something comes makes the rest free. */
static void hints_are_learnt(void **state)
{
	static int64_t values[MANY], back[MANY];
	static uint8_t hints[MANY], bytes[MANY * 32];
	uint64_t seed = 41, n = 0;
	struct residuals_model model;
	struct range_encoder encoder;
	struct range_decoder decoder;
	for (size_t i = 0; i < MANY; i++) {
		hints[i] = fixture_random(&seed) % 50 == 0 ? RESIDUALS_HINTS - 1 : 0;
		values[i] = hints[i] ? (int64_t)(fixture_random(&seed) % 256) + 1 : 0;
		n += hints[i] > 0;
	}
	residuals_model_init(&model, RESIDUALS_VALUES);
	range_encoder_init(&encoder, bytes, sizeof(bytes));
	residuals_encode(&model, &encoder, values, MANY, hints);
	range_encoder_finish(&encoder);
	assert_in_range(encoder.len, n, n + n / 4 + 50);
	residuals_model_init(&model, RESIDUALS_VALUES);
	range_decoder_init(&decoder, bytes, encoder.len);
	residuals_decode(&model, &decoder, back, MANY, hints);
	assert_memory_equal(values, back, sizeof(values));
}

static void foreign_bytes_decode_to_something(void **state)
{
	static int64_t back[MANY];
	uint8_t bytes[300];
	uint64_t seed = 9;
	for (int round = 0; round < 200; round++) {
		struct residuals_model model;
		struct range_decoder decoder;
		size_t len = fixture_random(&seed) % sizeof(bytes);
		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)fixture_random(&seed);
		residuals_model_init(&model, RESIDUALS_VALUES);
		range_decoder_init(&decoder, bytes, len);
		residuals_decode(&model, &decoder, back, 1000, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_always_the_same), cmocka_unit_test(a_prior_spares_learning),
		cmocka_unit_test(too_little_room_is_told),   cmocka_unit_test(extremes_come_back),
		cmocka_unit_test(anything_comes_back),	     cmocka_unit_test(many_streams_come_back),
		cmocka_unit_test(carries_run_back),	     cmocka_unit_test(what_repeats_costs_next_to_nothing),
		cmocka_unit_test(noise_costs_its_entropy),   cmocka_unit_test(foreign_bytes_decode_to_something),
		cmocka_unit_test(hints_are_learnt),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
