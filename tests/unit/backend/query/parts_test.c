/* Parts of long columns: what is decoded of a chunk depends on what was asked, and before it; what is answered does
 * not. */
#include "backend/columns/chunk_merge.h"
#include "tests/unit/backend/query/history.h"
#include "tests/unit/cmocka_all.h"

#include <stdio.h>
#include <string.h>

#define T0 (83113 * 21600 * 1000000ll)
#define N 1440
#define EVERY_US 5000000ll

/* Two hours in which the agent was started anew, paused and lost some, with a counter and a gauge that are noise. */
static void make(struct history *h)
{
	struct columns_tick tick = {.interval_ms = 5000, .instance = "run", .boot_id = "boot"};
	uint64_t seed = 11, counter = 1000;
	for (size_t i = 0; i < N; i++) {
		struct buf sections BUF_CLEANUP = BUF_INIT(1 << 16), custom BUF_CLEANUP = BUF_INIT(1 << 16);
		counter += fixture_random(&seed) % 1000000;
		if (i == 900) {
			memcpy(tick.instance, "another", 7);
			counter = 5;
			tick.sequence = 0;
		}
		tick.sequence += i == 300 ? 20 : 1;
		if ((i >= 400 && i < 420) || (i >= 300 && i < 319))
			continue;
		tick.time_us = T0 + (int64_t)i * EVERY_US + (int64_t)(fixture_random(&seed) % 20000);
		tick.received_us = tick.time_us + 1000;
		fixture_custom_uint(&custom, "grown", counter);
		fixture_custom_int(&custom, "balance", (int64_t)(fixture_random(&seed) % 100000) - 50000);
		fixture_custom_section(&custom, &sections);
		history_add(h, &tick, &sections);
	}
}

/* As compaction leaves it. */
static void put_dense(struct history *h)
{
	struct buf chunk BUF_CLEANUP = BUF_INIT(1 << 28), dense BUF_CLEANUP = BUF_INIT(1 << 28);
	struct chunk_merge_result result;
	uint32_t bad;
	history_chunk(h, 0, h->n, &chunk);
	const struct chunk_bytes one = {.data = chunk.data, .len = chunk.len};
	assert_int_equal(chunk_merge(&one, 1, INT64_MIN, INT64_MAX, &dense, &result, &bad), 0);
	history_put(h, STORE_TIER_RAW, 0, true, &dense);
}

static void compare(struct history *rows, struct history *parts, const struct history_question *q)
{
	char name[128];
	struct range_result x = history_answer(rows, q), y = history_answer(parts, q);
	snprintf(name, sizeof(name), "%s from %lld s for %lld s", q->selector, (long long)(q->from_us - T0) / 1000000,
		 (long long)(q->to_us - q->from_us) / 1000000);
	assert_int_equal(x.snapshots, y.snapshots);
	history_same(&x, &y, 0, name);
	history_same_gaps(&x, &y, name);
	range_result_free(&x);
	range_result_free(&y);
}

static struct history_question question(uint64_t *seed)
{
	bool counter = fixture_random(seed) % 2;
	struct history_question q = {.selector = counter ? "custom.grown" : "custom.balance",
				     .function = counter ? RANGE_INCREASE : RANGE_SUM,
				     .step_us = 15000000};
	q.from_us = T0 + (int64_t)(fixture_random(seed) % N) * EVERY_US;
	q.to_us = q.from_us + 60000000 + (int64_t)(fixture_random(seed) % 300) * EVERY_US;
	return q;
}

static void parts_say_what_the_whole_says(void **state)
{
	struct history rows;
	uint64_t seed = 7;
	history_open(&rows);
	make(&rows);
	history_put_rows(&rows, NULL, 0);
	for (int round = 0; round < 12; round++) {
		struct history parts;
		history_open(&parts);
		make(&parts);
		put_dense(&parts);
		/* A panel that moves on, over the end of what was decoded for it. */
		struct history_question panel = question(&seed);
		for (int moved = 0; moved < 40 && round % 4 == 0; moved++) {
			compare(&rows, &parts, &panel);
			panel.from_us += panel.step_us * (1 + moved / 8);
			panel.to_us += panel.step_us * (1 + moved / 8);
		}
		/* The first finds nothing decoded, the others parts, the same ones again, other ones, everything. */
		for (int asked = 0; asked < 5; asked++) {
			struct history_question q = question(&seed);
			compare(&rows, &parts, &q);
			if (asked == 1)
				compare(&rows, &parts, &q);
		}
		history_close(&parts);
	}
	history_close(&rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_say_what_the_whole_says),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
