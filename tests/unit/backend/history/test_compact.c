/* Chunks of a window give way to one, and minutes are made of it; late data does it again. */
#include "backend/columns/rollup.h"
#include "backend/history/compact.h"
#include "backend/history/tiers.h"
#include "common/wire.h"
#include "tests/unit/backend/history/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONG_US (1000 * TIERS_HOUR_US)

static int64_t now_us(const struct history *h)
{
	return h->received_us + LONG_US;
}

/* All windows of a tier that there are to compact; returns how many. */
static size_t compact_tier(struct history *h, enum store_tier tier, struct compact_result *sum)
{
	struct store_window *windows;
	size_t n;
	assert_int_equal(store_windows(h->store, tier, INT64_MAX, INT64_MAX, 1000, &windows, &n), 0);
	for (size_t i = 0; i < n; i++) {
		struct compact_result one;
		const struct compact_job job = {
			.store = h->store, .tier = tier, .window = &windows[i], .now_us = now_us(h)};
		assert_int_equal(compact_window(&job, &one), 0);
		sum->chunks_before += one.chunks_before;
		sum->chunks_after += one.chunks_after;
		sum->minute_chunks += one.minute_chunks;
		sum->left += one.left;
		sum->damaged += one.damaged;
		sum->unreadable += one.unreadable;
	}
	free(windows);
	return n;
}

static void compact_all(struct history *h, struct compact_result *sum)
{
	for (enum store_tier tier = STORE_TIER_RAW; tier < STORE_TIER_END; tier++)
		compact_tier(h, tier, sum);
	for (enum store_tier tier = STORE_TIER_RAW; tier < STORE_TIER_END; tier++) {
		struct compact_result nothing = {0};
		assert_int_equal(compact_tier(h, tier, &nothing), 0);
	}
}

static void expect_compacted(struct history *h, enum store_tier tier, uint32_t statistic)
{
	struct store_chunk *chunks;
	size_t n = history_chunks(h, tier, statistic, &chunks);
	for (size_t i = 0; i < n; i++) {
		assert_true(chunks[i].compacted);
		/* Those of processes may be as well left as they are; then no two say something of one moment. */
		for (size_t k = 0; k < i; k++)
			assert_true(tier == STORE_TIER_PROCESSES ? chunks[i].first_us > chunks[k].last_us ||
									   chunks[k].first_us > chunks[i].last_us
								 : chunks[i].window_us != chunks[k].window_us);
	}
	free(chunks);
}

/* What the minutes say is what the raw chunks' own minutes are. */
static void expect_minutes(struct history *h)
{
	struct facts kept = {0}, expected = {0};
	struct buf out[ROLLUP_END];
	struct rollup_result result;
	struct store_chunk *chunks;
	size_t n = history_chunks(h, STORE_TIER_RAW, 0, &chunks);
	for (size_t i = 0; i < n; i++) {
		struct buf bytes BUF_CLEANUP = {0};
		history_read(h, &chunks[i], &bytes);
		for (unsigned s = 0; s < ROLLUP_END; s++)
			out[s] = BUF_INIT(1 << 28);
		assert_int_equal(rollup_minutes(bytes.data, bytes.len, out, &result), 0);
		for (unsigned s = ROLLUP_LAST; s < ROLLUP_EXTRA; s++)
			assert_int_equal(facts_of_chunk(&expected, out[s].data, out[s].len), 0);
		for (unsigned s = 0; s < ROLLUP_END; s++)
			buf_free(&out[s]);
	}
	free(chunks);
	for (unsigned s = ROLLUP_LAST; s < ROLLUP_EXTRA; s++) {
		n = history_chunks(h, STORE_TIER_MINUTE, s, &chunks);
		assert_true(n > 0);
		for (size_t i = 0; i < n; i++) {
			struct buf bytes BUF_CLEANUP = {0};
			history_read(h, &chunks[i], &bytes);
			assert_int_equal(facts_of_chunk(&kept, bytes.data, bytes.len), 0);
		}
		free(chunks);
	}
	assert_int_equal(kept.n, expected.n);
	assert_int_equal(facts_common(&kept, &expected), kept.n);
	facts_free(&kept);
	facts_free(&expected);
}

static void chunks_give_way_to_one(void **state)
{
	struct history *h = *state;
	struct compact_result sum = {0};
	h->maker.tick.time_us += TIERS_HOUR_US - 100 * 1000000;
	for (size_t i = 0; i < 4; i++) {
		history_append(h, 60);
		history_seal_all(h);
	}
	compact_all(h, &sum);
	assert_true(sum.chunks_before > sum.chunks_after && sum.minute_chunks >= 5);
	for (enum store_tier tier = STORE_TIER_RAW; tier <= STORE_TIER_PROCESSES; tier++)
		expect_compacted(h, tier, 0);
	for (unsigned s = ROLLUP_LAST; s < ROLLUP_END; s++)
		expect_compacted(h, STORE_TIER_MINUTE, s);
	history_expect_sent(h);
	expect_minutes(h);
}

/* Data of a time that was compacted long ago: it waits until it is quiet, and then all is as if it had come in time. */
static void late_data_comes_in(void **state)
{
	struct history *h = *state;
	struct compact_result sum = {0}, one;
	struct store_window *windows;
	size_t n;
	h->maker.tick.time_us += 600000000;
	history_append(h, 60);
	history_seal_all(h);
	compact_all(h, &sum);
	h->maker.tick.time_us -= 500000000;
	history_append(h, 40);
	history_seal_all(h);
	assert_int_equal(store_windows(h->store, STORE_TIER_RAW, INT64_MAX, INT64_MAX, 1000, &windows, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(windows[0].chunks, 1);
	const struct compact_job job = {.store = h->store,
					.tier = STORE_TIER_RAW,
					.window = &windows[0],
					.now_us = windows[0].newest_us + 1799999999,
					.late_quiet_us = 1800000000};
	assert_int_equal(compact_window(&job, &one), -EAGAIN);
	free(windows);
	compact_all(h, &sum);
	expect_compacted(h, STORE_TIER_RAW, 0);
	history_expect_sent(h);
	expect_minutes(h);
}

static void read_minutes(struct history *h, struct facts *ret)
{
	for (unsigned s = ROLLUP_LAST; s < ROLLUP_END; s++) {
		struct store_chunk *chunks;
		size_t n = history_chunks(h, STORE_TIER_MINUTE, s, &chunks);
		for (size_t i = 0; i < n; i++) {
			struct buf bytes BUF_CLEANUP = {0};
			history_read(h, &chunks[i], &bytes);
			assert_int_equal(facts_of_chunk(ret, bytes.data, bytes.len), 0);
		}
		free(chunks);
	}
}

/* A few readings come late for a time of which there are only minutes left: those were made of all there was. */
static void minutes_outlive_what_they_were_made_of(void **state)
{
	struct history *h = *state;
	struct compact_result sum = {0};
	struct facts before = {0}, after = {0};
	uint64_t gone;
	h->maker.tick.time_us += 600000000;
	int64_t begin_us = h->maker.tick.time_us;
	history_append(h, 200);
	history_seal_all(h);
	compact_all(h, &sum);
	read_minutes(h, &before);
	assert_true(before.n > 0);
	assert_int_equal(store_drop(h->store, STORE_TIER_RAW, INT64_MAX, UINT64_MAX, &gone), 0);
	assert_true(gone > 0);
	h->maker.tick.time_us = begin_us - 90 * 1000000;
	history_append(h, 150);
	history_seal_all(h);
	compact_all(h, &sum);
	read_minutes(h, &after);
	assert_int_equal(facts_common(&before, &after), before.n);
	assert_true(after.n > before.n);
	facts_free(&before);
	facts_free(&after);
}

/* A row of pieces in the database itself, or the chunk's bytes: flips a byte of what a tier has first. */
static void damage(struct history *h, const struct store_chunk *chunk, size_t at)
{
	struct buf bytes BUF_CLEANUP = {0};
	history_read(h, chunk, &bytes);
	bytes.data[at < bytes.len ? at : bytes.len - 1 - at % 7] ^= 0x20;
	struct store_chunk other = *chunk;
	other.data = bytes.data;
	assert_int_equal(store_replace(h->store, h->host, chunk, 1, &other, 1), 0);
}

static void a_damaged_chunk_stays(void **state)
{
	struct history *h = *state;
	struct compact_result sum = {0};
	struct store_chunk *chunks;
	for (size_t i = 0; i < 3; i++) {
		history_append(h, 40);
		history_seal_all(h);
	}
	size_t n = history_chunks(h, STORE_TIER_RAW, 0, &chunks);
	assert_true(n >= 3);
	damage(h, &chunks[0], 60);
	uint64_t len = chunks[0].len;
	free(chunks);
	compact_tier(h, STORE_TIER_RAW, &sum);
	assert_int_equal(sum.damaged, 1);
	assert_int_equal(sum.unreadable, 0);
	/* It is there, whole, and nobody looks for it again. */
	size_t left = history_chunks(h, STORE_TIER_RAW, 0, &chunks);
	bool found = false;
	for (size_t i = 0; i < left; i++) {
		assert_true(chunks[i].compacted);
		found |= chunks[i].len == len;
	}
	assert_true(found && left < n);
	free(chunks);
	struct compact_result nothing = {0};
	assert_int_equal(compact_tier(h, STORE_TIER_RAW, &nothing), 0);
	/* What comes later is compacted around it, and it is not told of again. */
	history_append(h, 40);
	history_seal_all(h);
	nothing = (struct compact_result){0};
	assert_true(compact_tier(h, STORE_TIER_RAW, &nothing) > 0);
	assert_int_equal(nothing.damaged, 0);
	assert_true(nothing.chunks_after > 0);
}

static void who_is_slower_changes_nothing(void **state)
{
	struct history *h = *state;
	struct store_window *windows;
	struct compact_result result = {.chunks_before = 99};
	size_t n;
	history_append(h, 40);
	history_seal_all(h);
	assert_int_equal(store_windows(h->store, STORE_TIER_RAW, INT64_MAX, INT64_MAX, 1000, &windows, &n), 0);
	assert_true(n > 0);
	const struct compact_job job = {
		.store = h->store, .tier = STORE_TIER_RAW, .window = &windows[0], .now_us = now_us(h)};
	assert_int_equal(compact_window(&job, &result), 0);
	assert_int_equal(result.chunks_after, 1);
	/* The list is old: there is nothing left to do. */
	assert_int_equal(compact_window(&job, &result), 0);
	assert_int_equal(result.chunks_before + result.chunks_after + result.minute_chunks, 0);
	free(windows);
	history_expect_sent(h);
}

#define PROCESSES 300
#define TICKS 10

/* Snapshots of so many processes, which do little, from the number `first` on; sealed. */
static void append_processes(struct history *h, int64_t from_us, uint64_t first)
{
	struct buf sections[TICKS];
	for (uint32_t i = 0; i < TICKS; i++) {
		struct buf all BUF_CLEANUP = BUF_INIT(1 << 20);
		for (uint64_t pid = first; pid < first + PROCESSES; pid++) {
			struct buf row BUF_CLEANUP = BUF_INIT(1 << 16);
			uint64_t seed = pid;
			assert_int_equal(wire_put_uint(&row, 1, pid), 0);
			assert_int_equal(wire_put_uint(&row, 2, fixture_random(&seed) >> 24), 0);
			assert_int_equal(wire_put_uint(&row, 11, 20000 * (i / 5 * pid % 7)), 0);
			for (uint32_t field = 16; field < 24; field++)
				assert_int_equal(wire_put_uint(&row, field, fixture_random(&seed) >> 24), 0);
			assert_int_equal(wire_put_bytes(&all, 2, row.data, row.len), 0);
		}
		sections[i] = BUF_INIT(1 << 20);
		assert_int_equal(wire_put_bytes(&sections[i], 23, all.data, all.len), 0);
	}
	history_append_sections(h, from_us, sections, TICKS);
	for (uint32_t i = 0; i < TICKS; i++)
		buf_free(&sections[i]);
	history_seal_all(h);
}

/* An hour with five chunks, five minutes apart; `others`: each of other processes. */
static int64_t append_window(struct history *h, bool others)
{
	int64_t hour = h->maker.tick.time_us - h->maker.tick.time_us % TIERS_HOUR_US + TIERS_HOUR_US;
	for (uint64_t i = 0; i < 5; i++)
		append_processes(h, hour + (int64_t)i * 300000000, others ? 1000 + PROCESSES * i : 1000);
	return hour;
}

static size_t count_processes(struct history *h)
{
	struct store_chunk *chunks;
	size_t n = history_chunks(h, STORE_TIER_PROCESSES, 0, &chunks);
	free(chunks);
	return n;
}

static void the_same_processes_are_put_together(void **state)
{
	struct history *h = *state;
	struct compact_result sum = {0};
	(void)append_window(h, false);
	compact_all(h, &sum);
	assert_int_equal(sum.left, 0);
	assert_int_equal(count_processes(h), 1);
	expect_compacted(h, STORE_TIER_PROCESSES, 0);
	history_expect_sent(h);
}

/* They stay as they are and nobody looks at them again; what comes late has its place among them, and what says
 * something of the same moments is put together with them. */
static void processes_that_come_and_go_are_left(void **state)
{
	struct history *h = *state;
	struct compact_result sum = {0};
	int64_t hour = append_window(h, true);
	compact_all(h, &sum);
	assert_int_equal(sum.left, 5);
	assert_int_equal(count_processes(h), 5);
	expect_compacted(h, STORE_TIER_PROCESSES, 0);
	history_expect_sent(h);
	append_processes(h, hour + 400000000, 5000);
	compact_all(h, &sum);
	assert_int_equal(sum.left, 6);
	assert_int_equal(count_processes(h), 6);
	expect_compacted(h, STORE_TIER_PROCESSES, 0);
	history_expect_sent(h);
	append_processes(h, hour + 405500000, 6000);
	compact_all(h, &sum);
	assert_int_equal(sum.left, 6);
	assert_int_equal(count_processes(h), 1);
	history_expect_sent(h);
}

/* One of them is damaged: it is told, as if they had been put together, which the others are. */
static void damage_among_those_that_come_and_go(void **state)
{
	struct history *h = *state;
	struct compact_result sum = {0};
	struct store_chunk *chunks;
	(void)append_window(h, true);
	size_t n = history_chunks(h, STORE_TIER_PROCESSES, 0, &chunks);
	assert_int_equal(n, 5);
	damage(h, &chunks[2], chunks[2].len - 3);
	free(chunks);
	compact_all(h, &sum);
	assert_int_equal(sum.damaged, 1);
	assert_int_equal(sum.left, 0);
	assert_int_equal(count_processes(h), 2);
	struct compact_result nothing = {0};
	assert_int_equal(compact_tier(h, STORE_TIER_PROCESSES, &nothing), 0);
}

#define HISTORY_TEST(f) cmocka_unit_test_setup_teardown(f, history_setup, history_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HISTORY_TEST(chunks_give_way_to_one),
		HISTORY_TEST(late_data_comes_in),
		HISTORY_TEST(minutes_outlive_what_they_were_made_of),
		HISTORY_TEST(a_damaged_chunk_stays),
		HISTORY_TEST(who_is_slower_changes_nothing),
		HISTORY_TEST(the_same_processes_are_put_together),
		HISTORY_TEST(processes_that_come_and_go_are_left),
		HISTORY_TEST(damage_among_those_that_come_and_go),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
