#include "backend/columns/ticks.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static size_t round_trip(const struct columns_tick *ticks, uint32_t n)
{
	struct buf bytes BUF_CLEANUP = BUF_INIT(1 << 24);
	struct columns_tick *back = calloc(n + 1, sizeof(*back));
	assert_int_equal(ticks_put(ticks, n, &bytes), 0);
	assert_int_equal(ticks_take(bytes.data, bytes.len, n, back), 0);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(ticks[i].time_us, back[i].time_us);
		assert_int_equal(ticks[i].received_us, back[i].received_us);
		assert_int_equal(ticks[i].boottime_us, back[i].boottime_us);
		assert_int_equal(ticks[i].sequence, back[i].sequence);
		assert_int_equal(ticks[i].interval_ms, back[i].interval_ms);
		assert_memory_equal(ticks[i].instance, back[i].instance, 16);
		assert_memory_equal(ticks[i].boot_id, back[i].boot_id, 16);
	}
	for (enum ticks_some some = TICKS_TIME; some <= TICKS_RECEIVED; some++) {
		assert_int_equal(ticks_take_some(bytes.data, bytes.len, n, some, back), 0);
		for (uint32_t i = 0; i < n; i++) {
			struct columns_tick expected = ticks[i];
			expected.boottime_us = 0;
			expected.received_us = some == TICKS_RECEIVED ? ticks[i].received_us : 0;
			assert_int_equal(back[i].time_us, expected.time_us);
			assert_int_equal(back[i].received_us, expected.received_us);
			assert_int_equal(back[i].boottime_us, 0);
			assert_int_equal(back[i].sequence, expected.sequence);
			assert_int_equal(back[i].interval_ms, expected.interval_ms);
			assert_memory_equal(back[i].boot_id, expected.boot_id, 16);
		}
	}
	free(back);
	return bytes.len;
}

/* A day of a second's ticks with some tens of microseconds of jitter: a byte each for the wake-up. */
static void a_day_is_small(void **state)
{
	uint32_t n = 86400;
	struct columns_tick *ticks = calloc(n, sizeof(*ticks));
	uint64_t seed = 23;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t late = fixture_random(&seed) % 128;
		ticks[i] = (struct columns_tick){.time_us = 1795258800000000 + i * 1000000ll + (int64_t)late,
						 .boottime_us = 777000000 + i * 1000000ull + late,
						 .sequence = 1 + i,
						 .interval_ms = 1000};
		ticks[i].received_us = ticks[i].time_us + 1000;
	}
	size_t bytes = round_trip(ticks, n);
	assert_in_range(bytes, n * 7 / 8 - 1000, n * 15 / 16);
	free(ticks);
}

/* Of two hours at 5 s, with a gap and another interval in them, any minutes: all of them, and seldom all ticks. */
static void a_part_is_as_the_whole(void **state)
{
	enum { N = 1440 };
	struct columns_tick *ticks = calloc(N, sizeof(*ticks)), *back;
	struct buf bytes BUF_CLEANUP = BUF_INIT(1 << 24);
	uint64_t seed = 37, decoded = 0;
	int64_t time_us = 1795258800000000;
	for (uint32_t i = 0; i < N; i++) {
		time_us += i == 500 ? 600000000 : i < 1000 ? 5000000 : 2500000;
		ticks[i] = (struct columns_tick){.time_us = time_us + (int64_t)(fixture_random(&seed) % 4096),
						 .sequence = i + i / 700,
						 .interval_ms = i < 1000 ? 5000 : 2500};
		ticks[i].instance[3] = i > 700;
	}
	(void)round_trip(ticks, N);
	assert_int_equal(ticks_put(ticks, N, &bytes), 0);
	for (int round = 0; round < 300; round++) {
		uint32_t first, end;
		int64_t from_us = ticks[0].time_us + (int64_t)(fixture_random(&seed) % 8000000000) - 200000000,
			to_us = from_us + (int64_t)(fixture_random(&seed) % 900000000);
		assert_int_equal(ticks_take_within(bytes.data, bytes.len, N, from_us, to_us, &back, &first, &end), 0);
		assert_true(first < end && end <= N);
		for (uint32_t i = 0; i < N; i++) {
			if (i >= first && i < end)
				assert_memory_equal(&back[i - first], &ticks[i],
						    offsetof(struct columns_tick, boot_id) + 16);
			else
				assert_true(ticks[i].time_us < from_us || ticks[i].time_us > to_us);
		}
		decoded += end - first;
		free(back);
	}
	assert_true(decoded < 300ull * N / 3);
	free(ticks);
}

static void any_ticks_come_back(void **state)
{
	struct columns_tick ticks[200];
	uint64_t seed = 29;
	for (int round = 0; round < 300; round++) {
		uint32_t n = (uint32_t)(fixture_random(&seed) % 200);
		for (uint32_t i = 0; i < n; i++) {
			memset(&ticks[i], 0, sizeof(ticks[i]));
			ticks[i].time_us = (int64_t)(fixture_value(&seed) - fixture_value(&seed));
			ticks[i].received_us = (int64_t)fixture_value(&seed);
			ticks[i].boottime_us = fixture_value(&seed);
			ticks[i].sequence = fixture_value(&seed);
			ticks[i].interval_ms = (uint32_t)fixture_value(&seed);
			ticks[i].instance[0] = (uint8_t)(fixture_random(&seed) % 3);
			ticks[i].boot_id[15] = (uint8_t)(fixture_random(&seed) % 2);
		}
		round_trip(ticks, n);
	}
}

static void damage_is_noticed(void **state)
{
	struct columns_tick ticks[50] = {0}, back[50];
	struct buf bytes BUF_CLEANUP = BUF_INIT(1 << 24);
	for (uint32_t i = 0; i < 50; i++)
		ticks[i] =
			(struct columns_tick){.time_us = i * 1000000ll + i * i % 7, .interval_ms = 1000, .sequence = i};
	assert_int_equal(ticks_put(ticks, 50, &bytes), 0);
	for (size_t i = 0; i < bytes.len; i++) {
		bytes.data[i] ^= 0x10;
		assert_int_equal(ticks_take(bytes.data, bytes.len, 50, back), -EBADMSG);
		bytes.data[i] ^= 0x10;
		assert_true(ticks_take(bytes.data, i, 50, back) < 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_day_is_small),
		cmocka_unit_test(a_part_is_as_the_whole),
		cmocka_unit_test(any_ticks_come_back),
		cmocka_unit_test(damage_is_noticed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
