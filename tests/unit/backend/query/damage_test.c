/* What cannot be read is told, and everything else is served: never another value, never no answer. */
#include "backend/columns/rollup.h"
#include "backend/history/compact.h"
#include "backend/history/seal.h"
#include "tests/unit/backend/query/history.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T0 1795258800000000
#define N 180
#define PART (N / 3)

/* A tick a second, without anything that makes gaps. */
static void make(struct history *h)
{
	struct columns_tick tick = {.interval_ms = 1000, .instance = "run", .boot_id = "boot"};
	for (size_t i = 0; i < N; i++) {
		struct buf sections BUF_CLEANUP = BUF_INIT(1 << 16), metrics BUF_CLEANUP = BUF_INIT(1 << 16);
		tick.time_us = tick.received_us = T0 + (int64_t)i * 1000000;
		tick.sequence = i + 1;
		fixture_custom_uint(&metrics, "jobs", i * i * 77 % 1000);
		fixture_custom_int(&metrics, "balance", (int64_t)(i * 7919 % 1000));
		fixture_custom_section(&metrics, &sections);
		history_add(h, &tick, &sections);
	}
}

static struct range_result ask(struct history *h, enum range_function function, int64_t step_us)
{
	const struct history_question q = {.selector = "custom.balance",
					   .function = function,
					   .from_us = T0,
					   .to_us = T0 + N * 1000000ll,
					   .step_us = step_us};
	return history_answer(h, &q);
}

static bool told_damage(const struct range_result *result, int64_t first_us, int64_t last_us)
{
	bool told = false;
	for (size_t i = 0; i < result->n_gaps; i++) {
		const struct range_gap *gap = &result->gaps[i];
		if (gap->cause == RANGE_DAMAGED) {
			assert_int_equal(gap->from_us, first_us);
			assert_int_equal(gap->to_us, last_us);
			told = true;
		}
	}
	return told;
}

/* The second of three chunks with other bytes. Whether anything was missing. */
static bool try_instead(const struct buf parts[3], const struct buf *bytes)
{
	struct history h;
	bool missing = false;
	history_open(&h);
	for (int i = 0; i < 3; i++)
		history_put_instead(&h, STORE_TIER_RAW, 0, true, &parts[i], i == 1 ? bytes : &parts[i]);
	struct range_result result = ask(&h, RANGE_LAST, 1000000);
	assert_int_equal(result.n_groups, 1);
	assert_int_equal(result.points, N);
	for (size_t i = 0; i < N; i++) {
		double value = result.groups[0].values[i];
		bool here = i >= PART && i < 2 * PART;
		if (here && isnan(value))
			missing = true;
		else
			assert_true(value == (double)(i * 7919 % 1000));
	}
	bool told = told_damage(&result, T0 + PART * 1000000ll, T0 + (2 * PART - 1) * 1000000ll);
	if (missing)
		assert_true(told);
	/* Nothing else is made of it: those snapshots were neither lost nor did the agent pause. */
	assert_int_equal(result.n_gaps, told ? 1 : 0);
	range_result_free(&result);
	history_close(&h);
	return missing;
}

static void any_byte_of_a_chunk(void **state)
{
	struct history h;
	struct buf parts[3];
	size_t missing = 0, tried = 0;
	history_open(&h);
	make(&h);
	for (size_t i = 0; i < 3; i++) {
		parts[i] = BUF_INIT(1 << 24);
		history_chunk(&h, i * PART, (i + 1) * PART, &parts[i]);
	}
	history_close(&h);
	assert_false(try_instead(parts, &parts[1]));
	for (size_t at = 0; at < parts[1].len; at += 1 + parts[1].len / 30) {
		parts[1].data[at] ^= 0x41;
		struct buf bad = parts[1];
		tried++;
		/* What the chunk is like is told by the store, not by its bytes. */
		struct buf good[3] = {parts[0], BUF_INIT(1 << 24), parts[2]};
		assert_int_equal(buf_append(&good[1], bad.data, bad.len), 0);
		good[1].data[at] ^= 0x41;
		missing += try_instead(good, &bad);
		buf_free(&good[1]);
		parts[1].data[at] ^= 0x41;
	}
	/* Only the other metric's values can be hurt without this one's being. */
	assert_true(missing * 10 >= tried * 6);
	for (size_t len = 1; len < parts[1].len; len += 1 + parts[1].len / 6) {
		struct buf cut = parts[1];
		cut.len = len;
		assert_true(try_instead(parts, &cut));
	}
	for (size_t i = 0; i < 3; i++)
		buf_free(&parts[i]);
}

/* Late data over a chunk that cannot be read: what came late is served. */
static void any_byte_beneath_late_data(void **state)
{
	struct history made;
	struct buf all = BUF_INIT(1 << 24), late = BUF_INIT(1 << 24), bad = BUF_INIT(1 << 24);
	history_open(&made);
	make(&made);
	history_chunk(&made, 0, N, &all);
	history_chunk(&made, PART, 2 * PART, &late);
	history_close(&made);
	assert_int_equal(buf_append(&bad, all.data, all.len), 0);
	for (size_t at = 0; at < all.len; at += 1 + all.len / 12) {
		struct history h;
		bool missing = false;
		bad.data[at] ^= 0x41;
		history_open(&h);
		history_put_instead(&h, STORE_TIER_RAW, 0, true, &all, &bad);
		history_put(&h, STORE_TIER_RAW, 0, false, &late);
		struct range_result result = ask(&h, RANGE_LAST, 1000000);
		for (size_t i = 0; i < N; i++) {
			double value = result.n_groups > 0 ? result.groups[0].values[i] : NAN;
			if (isnan(value))
				assert_true(i < PART || i >= 2 * PART);
			else
				assert_true(value == (double)(i * 7919 % 1000));
			missing |= isnan(value);
		}
		if (missing)
			assert_true(told_damage(&result, T0, T0 + (N - 1) * 1000000ll));
		range_result_free(&result);
		history_close(&h);
		bad.data[at] ^= 0x41;
	}
	buf_free(&all);
	buf_free(&late);
	buf_free(&bad);
}

/* Sums without counts are no averages. */
static void minutes_of_which_a_statistic_is_damaged(void **state)
{
	struct history made;
	struct buf all = BUF_INIT(1 << 24), out[ROLLUP_END];
	struct rollup_result rolled;
	history_open(&made);
	make(&made);
	history_chunk(&made, 0, N, &all);
	history_close(&made);
	for (unsigned s = 0; s < ROLLUP_END; s++)
		out[s] = BUF_INIT(1 << 24);
	assert_int_equal(rollup_minutes(all.data, all.len, out, &rolled), 0);
	for (unsigned bad = ROLLUP_LAST; bad < ROLLUP_END; bad++) {
		struct history h;
		history_open(&h);
		for (unsigned s = ROLLUP_LAST; s < ROLLUP_END; s++) {
			struct buf cut = out[s];
			cut.len = s == bad ? cut.len / 2 : cut.len;
			if (out[s].len > 0)
				history_put_instead(&h, STORE_TIER_MINUTE, s, true, &out[s], &cut);
		}
		struct range_result result = ask(&h, RANGE_AVG, 60000000);
		/* An average needs these two; that there is such a metric the last readings say. */
		bool hurt = bad == ROLLUP_SUM || bad == ROLLUP_COUNT || bad == ROLLUP_LAST;
		assert_int_equal(told_damage(&result, T0, T0 + (N / 60 - 1) * 60000000ll), hurt);
		assert_int_equal(result.n_groups > 0 && !isnan(result.groups[0].values[1]), !hurt);
		range_result_free(&result);
		history_close(&h);
	}
	for (unsigned s = 0; s < ROLLUP_END; s++)
		buf_free(&out[s]);
	buf_free(&all);
}

/* Rows of which the store says that they cannot be read: the second to the last of a second and a third part, and one
 * more. What was whole is there, and two stretches are told, of which nothing else is said. */
static void expect_rows_but_some(struct history *h)
{
	struct range_result result = ask(h, RANGE_LAST, 1000000);
	const int64_t second = 1000000,
		      ends[2][2] = {{T0 + 60 * second, T0 + 74 * second}, {T0 + 90 * second, T0 + 90 * second + 1}};
	assert_int_equal(result.n_gaps, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(result.gaps[i].cause, RANGE_DAMAGED);
		assert_true(result.gaps[i].from_us == ends[i][0]);
		assert_in_range(result.gaps[i].to_us, ends[i][1], ends[i][1] + 1);
	}
	for (size_t i = 0; i < N; i++) {
		double value = result.groups[0].values[i];
		bool lost = (i >= 60 && i < 75) || i == 90;
		assert_true(lost ? isnan(value) : value == (double)(i * 7919 % 1000));
	}
	range_result_free(&result);
}

static void seal_and_compact(struct history *h, bool compact)
{
	struct store_unsealed *host = NULL;
	struct store_window *windows = NULL;
	struct seal_result sealed;
	struct compact_result compacted;
	size_t n = 0;
	if (!compact) {
		assert_int_equal(store_unsealed(h->store, &host, &n), 0);
		assert_int_equal(n, 1);
		const struct seal_job job = {.store = h->store,
					     .schemas = h->schemas,
					     .host = host,
					     .upto_us = T0 + N * 1000000ll,
					     .now_us = T0};
		assert_int_equal(seal_host(&job, &sealed), 0);
		assert_int_equal(sealed.rows, N);
		assert_int_equal(sealed.bad_rows, 2);
		free(host);
		return;
	}
	for (enum store_tier tier = STORE_TIER_RAW; tier <= STORE_TIER_PROCESSES; tier++) {
		assert_int_equal(store_windows(h->store, tier, INT64_MAX, INT64_MAX, 10, &windows, &n), 0);
		assert_int_equal(n, 1);
		const struct compact_job job = {
			.store = h->store, .tier = tier, .window = windows, .now_us = INT64_MAX / 2};
		assert_int_equal(compact_window(&job, &compacted), 0);
		assert_int_equal(compacted.damaged, 2);
		free(windows);
		/* And not again and again. */
		assert_int_equal(store_windows(h->store, tier, INT64_MAX, INT64_MAX, 10, &windows, &n), 0);
		assert_int_equal(n, 0);
		free(windows);
	}
}

/* What was lost as rows is told as damaged as long as what is around it is kept. */
static void rows_that_are_lost(void **state)
{
	struct history h;
	history_open(&h);
	make(&h);
	for (size_t i = 0; i < N; i++) {
		/* As a store puts it where one was. */
		if ((i >= 60 && i < 75) || i == 90) {
			h.snapshots[i].payload.data[0] = 0;
			h.snapshots[i].payload.len = 1;
		}
	}
	history_put_rows(&h, NULL, 0);
	expect_rows_but_some(&h);
	seal_and_compact(&h, false);
	expect_rows_but_some(&h);
	seal_and_compact(&h, true);
	expect_rows_but_some(&h);
	/* Of minutes what is left counts. */
	struct range_result result = ask(&h, RANGE_LAST, 60000000);
	for (size_t i = 0; i < N / 60; i++)
		assert_false(isnan(result.groups[0].values[i]));
	range_result_free(&result);
	history_close(&h);
}

/* Overwrites the page on which these bytes lie, while the store is closed. */
static void damage_page_of(struct history *h, const uint8_t *what, size_t what_len)
{
	static uint8_t bytes[4 << 20];
	char path[128], url[160], *error = NULL;
	snprintf(path, sizeof(path), "%s/s.db", h->directory);
	snprintf(url, sizeof(url), "sqlite:%s", path);
	schemas_close(h->schemas);
	store_close(h->store);
	FILE *file = fopen(path, "r+b");
	assert_non_null(file);
	size_t len = fread(bytes, 1, sizeof(bytes), file);
	uint8_t *found = memmem(bytes, len, what, what_len);
	assert_non_null(found);
	memset(bytes, 0xa5, 4096);
	assert_int_equal(fseek(file, (found - bytes) / 4096 * 4096, SEEK_SET), 0);
	assert_int_equal(fwrite(bytes, 4096, 1, file), 1);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(store_open(url, &h->store, &error), 0);
	assert_int_equal(schemas_open(h->store, &h->schemas), 0);
}

/* Rows that the disk has lost: told one by one, and the others are there. */
static void a_page_of_rows(void **state)
{
	struct history h;
	size_t missing = 0, told = 0;
	history_open(&h);
	make(&h);
	history_put_rows(&h, NULL, 0);
	damage_page_of(&h, h.snapshots[N / 2].payload.data, h.snapshots[N / 2].payload.len);
	struct range_result result = ask(&h, RANGE_LAST, 1000000);
	assert_int_equal(result.n_groups, 1);
	for (size_t i = 0; i < N; i++) {
		double value = result.groups[0].values[i];
		int64_t time_us = T0 + (int64_t)i * 1000000;
		if (!isnan(value)) {
			assert_true(value == (double)(i * 7919 % 1000));
			continue;
		}
		missing++;
		for (size_t k = 0; k < result.n_gaps; k++)
			told += result.gaps[k].from_us <= time_us && time_us <= result.gaps[k].to_us;
	}
	assert_true(missing > 0 && missing < 60);
	assert_true(told >= missing);
	for (size_t k = 0; k < result.n_gaps; k++)
		assert_int_equal(result.gaps[k].cause, RANGE_DAMAGED);
	range_result_free(&result);
	history_close(&h);
}

/* What the cache has of a chunk needs nothing of it: its head, on a page that is lost, is not looked at. */
static void what_the_cache_has_is_not_read_again(void **state)
{
	static const char *const selectors[] = {"cpu.load1", "cpu.cores.user_us{cpu=~\"[02]\"}"};
	struct history h;
	struct buf chunk = BUF_INIT(1 << 24);
	struct range_result before[2], now;
	history_open(&h);
	history_make(&h, 11, false, 300);
	history_chunk(&h, 0, h.n, &chunk);
	history_put(&h, STORE_TIER_RAW, 0, true, &chunk);
	struct history_question q = {.function = RANGE_LAST, .step_us = 60000000};
	q.from_us = h.snapshots[0].tick.time_us / 60000000 * 60000000;
	q.to_us = q.from_us + 3600000000;
	for (size_t i = 0; i < 2; i++) {
		q.selector = selectors[i];
		before[i] = history_answer(&h, &q);
		assert_true(before[i].samples > 0);
	}
	damage_page_of(&h, chunk.data, 40);
	for (size_t i = 0; i < 2; i++) {
		q.selector = selectors[i];
		now = history_answer(&h, &q);
		history_same(&before[i], &now, 0, q.selector);
		history_same_gaps(&before[i], &now, q.selector);
		range_result_free(&now);
		range_result_free(&before[i]);
	}
	/* Nobody has asked for this one yet. */
	q.selector = "memory.available_bytes";
	now = history_answer(&h, &q);
	assert_int_equal(now.samples, 0);
	size_t told = 0;
	for (size_t i = 0; i < now.n_gaps; i++)
		told += now.gaps[i].cause == RANGE_DAMAGED;
	assert_true(told > 0);
	range_result_free(&now);
	buf_free(&chunk);
	history_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_that_are_lost),
		cmocka_unit_test(any_byte_of_a_chunk),
		cmocka_unit_test(any_byte_beneath_late_data),
		cmocka_unit_test(minutes_of_which_a_statistic_is_damaged),
		cmocka_unit_test(a_page_of_rows),
		cmocka_unit_test(what_the_cache_has_is_not_read_again),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
