/* Pages of PostgreSQL's tables of chunks that cannot be read: what lies on them is told as damaged, all else is served,
 * counted, put together and dropped. Run by tests/integration/store/test_damage.py, which overwrites pages while the
 * server is stopped, in parts: "fill", then "look". */
#include "fixture.h"

#include "common/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 3000 /* apart from its row */
#define DAYS 30
#define STATISTICS 8
#define SEALED 240
#define WINDOWS 10
#define ROWS 40
#define ROW_BYTES 4000 /* apart from its row, two a page */

static uint8_t data[CHUNK_BYTES];

static const uint8_t *bytes_of(enum store_tier tier, unsigned statistic, int64_t first_us)
{
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + (size_t)tier + statistic * 3 + (size_t)(first_us / 1000000) * 11);
	return data;
}

/* Of one part of the minutes: thirty days that are over. */
static int64_t first_day(void)
{
	return (clock_wall_us() / (30 * FIXTURE_DAY_US) - 2) * 30 * FIXTURE_DAY_US;
}

static int64_t first_window(void)
{
	return clock_wall_us() / FIXTURE_DAY_US * FIXTURE_DAY_US - 10 * FIXTURE_DAY_US;
}

static void put(struct fixture *f, const uint8_t host[16], struct store_chunk chunk)
{
	chunk.len = CHUNK_BYTES;
	chunk.data = bytes_of(chunk.tier, chunk.statistic, chunk.first_us);
	assert_int_equal(store_replace(f->store, host, NULL, 0, &chunk, 1), 0);
}

static void fill(void **state)
{
	struct fixture *f = *state;
	for (int64_t day = 0; day < DAYS; day++) {
		int64_t window_us = first_day() + day * FIXTURE_DAY_US;
		struct store_chunk chunk = {.tier = STORE_TIER_MINUTE,
					    .compacted = true,
					    .window_us = window_us,
					    .first_us = window_us + 5,
					    .last_us = window_us + FIXTURE_DAY_US - 60000000,
					    .made_us = 1};
		for (chunk.statistic = 1; chunk.statistic <= STATISTICS; chunk.statistic++) {
			put(f, host_a, chunk);
			put(f, host_b, chunk);
		}
		/* Those whose index is to be damaged. */
		chunk.tier = STORE_TIER_PROCESSES;
		chunk.statistic = 0;
		chunk.window_us = chunk.first_us = first_window() + day;
		chunk.last_us = chunk.window_us + 1000;
		put(f, host_a, chunk);
	}
	static char payload[ROW_BYTES + 1];
	memset(payload, 'r', ROW_BYTES);
	for (uint64_t i = 1; i <= ROWS; i++)
		assert_int_equal(append_one(f->store, host_b, run_1, i, payload), STORE_ACCEPTED);
	for (int64_t i = 0; i < SEALED; i++) {
		int64_t window_us = first_window() + i / (SEALED / WINDOWS) * 6 * FIXTURE_HOUR_US;
		int64_t first_us = window_us + i % (SEALED / WINDOWS) * 600000000;
		put(f, host_a,
		    (struct store_chunk){.tier = STORE_TIER_RAW,
					 .window_us = window_us,
					 .first_us = first_us,
					 .last_us = first_us + 599000000,
					 .made_us = clock_wall_us()});
	}
}

struct list {
	struct store_chunk *chunks;
	size_t n, good, damaged;
};

/* What is listed can be read, or says that it is damaged. */
static struct list list_of(struct store_view *view, const uint8_t host[16], enum store_tier tier, unsigned statistic)
{
	struct list l = {0};
	uint8_t bytes[CHUNK_BYTES];
	assert_int_equal(store_view_chunks(view, host, tier, statistic, INT64_MIN, INT64_MAX, &l.chunks, &l.n), 0);
	for (size_t i = 0; i < l.n; i++) {
		const struct store_chunk *c = &l.chunks[i];
		assert_true(i == 0 || l.chunks[i - 1].first_us <= c->first_us);
		assert_true(c->first_us <= c->last_us);
		if (c->damaged) {
			l.damaged++;
			assert_int_equal(store_view_read(view, c, 0, 1, bytes), -EUCLEAN);
			continue;
		}
		l.good++;
		assert_int_equal(store_view_read(view, c, 0, CHUNK_BYTES, bytes), 0);
		assert_memory_equal(bytes, bytes_of(tier, statistic, c->first_us), CHUNK_BYTES);
	}
	return l;
}

/* Rows of a page are of some five days: these are told, to the day, and no others. */
static void look_at_days(struct store_view *view, const uint8_t host[16], unsigned statistic, size_t *ret_good)
{
	struct list l = list_of(view, host, STORE_TIER_MINUTE, statistic);
	assert_int_equal(l.n, DAYS);
	assert_in_range(l.damaged, 2, 7);
	for (size_t i = 0; i < l.n; i++) {
		const struct store_chunk *c = &l.chunks[i];
		assert_true(c->window_us == first_day() + (int64_t)i * FIXTURE_DAY_US);
		if (c->damaged)
			assert_true(c->first_us == c->window_us && c->last_us == c->window_us + FIXTURE_DAY_US - 1);
	}
	*ret_good += l.good;
	free(l.chunks);
}

static void test_a_page_of_compacted_chunks(void **state)
{
	struct fixture *f = *state;
	struct store_view *view;
	struct store_usage usage;
	size_t good = 0;
	assert_int_equal(store_view_open(f->store, &view), 0);
	for (unsigned statistic = 1; statistic <= STATISTICS; statistic++) {
		look_at_days(view, host_a, statistic, &good);
		look_at_days(view, host_b, statistic, &good);
	}
	/* Times that have nothing to do with them. */
	struct store_chunk *chunks = NULL;
	size_t n = 0;
	assert_int_equal(store_view_chunks(view, host_a, STORE_TIER_MINUTE, 1, first_day() + FIXTURE_DAY_US,
					   first_day() + 2 * FIXTURE_DAY_US - 1, &chunks, &n),
			 0);
	assert_int_equal(n, 1);
	assert_false(chunks[0].damaged);
	free(chunks);
	store_view_close(view);
	assert_int_equal(store_usage(f->store, &usage), 0);
	assert_int_equal(usage.tiers[STORE_TIER_MINUTE].chunks, good);
	assert_int_equal(usage.tiers[STORE_TIER_MINUTE].bytes, good * CHUNK_BYTES);
	print_message("%zu of %d chunks of minutes are left\n", good, 2 * STATISTICS * DAYS);
}

/* A page of the index alone costs nothing. */
static void test_a_page_of_an_index(void **state)
{
	struct fixture *f = *state;
	struct store_view *view;
	assert_int_equal(store_view_open(f->store, &view), 0);
	struct list l = list_of(view, host_a, STORE_TIER_PROCESSES, 0);
	assert_int_equal(l.good, DAYS);
	assert_int_equal(l.damaged, 0);
	free(l.chunks);
	store_view_close(view);
}

static void test_a_page_of_sealed_chunks(void **state)
{
	struct fixture *f = *state;
	struct store_window *windows = NULL;
	struct store_view *view;
	size_t n = 0, listed = 0;
	assert_int_equal(store_view_open(f->store, &view), 0);
	struct list l = list_of(view, host_a, STORE_TIER_RAW, 0);
	store_view_close(view);
	assert_in_range(l.good, SEALED / 2, SEALED - 20);
	assert_in_range(l.damaged, 1, 5);
	/* Each window that has chunks on the page, and only those: 24 chunks a window. */
	for (int64_t w = 0; w < WINDOWS; w++) {
		int64_t window_us = first_window() + w * 6 * FIXTURE_HOUR_US;
		size_t good = 0, damaged = 0;
		for (size_t i = 0; i < l.n; i++) {
			good += l.chunks[i].window_us == window_us && !l.chunks[i].damaged;
			damaged += l.chunks[i].window_us == window_us && l.chunks[i].damaged;
		}
		assert_int_equal(damaged, good < SEALED / WINDOWS);
	}
	/* Those that wait are put together all the same. */
	assert_int_equal(store_windows(f->store, STORE_TIER_RAW, INT64_MAX, INT64_MAX, 100, &windows, &n), 0);
	assert_in_range(n, WINDOWS - 5, WINDOWS);
	for (size_t i = 0; i < n; i++) {
		assert_memory_equal(windows[i].host_id, host_a, 16);
		listed += windows[i].chunks;
	}
	assert_int_equal(listed, l.good);
	free(windows);
	struct store_chunk merged = l.chunks[0];
	assert_false(merged.damaged);
	merged.compacted = true;
	merged.data = bytes_of(STORE_TIER_RAW, 0, merged.first_us);
	assert_int_equal(store_replace(f->store, host_a, l.chunks, 1, &merged, 1), 0);
	assert_int_equal(store_replace(f->store, host_a, l.chunks, 1, &merged, 1), -ESTALE);
	free(l.chunks);
	assert_int_equal(append_one(f->store, host_a, run_1, 1, "goes on"), STORE_ACCEPTED);
}

struct rows {
	size_t whole, damaged;
	uint64_t last;
	bool backwards;
};

static int count_row(void *arg, const struct store_row *row)
{
	struct rows *rows = arg;
	assert_true(row->sequence == (rows->backwards ? ROWS - rows->whole - rows->damaged : rows->last + 1));
	assert_true(row->received_us > 0);
	rows->last = row->sequence;
	rows->whole += row->len == ROW_BYTES;
	rows->damaged += row->damaged;
	return 0;
}

/* Payloads are told as damaged row by row, and what is left becomes history. */
static void test_a_page_of_payloads(void **state)
{
	struct fixture *f = *state;
	struct store_view *view;
	struct rows up = {0}, down = {.backwards = true}, heads = {0};
	struct store_unsealed *unsealed = NULL;
	size_t n = 0;
	assert_int_equal(store_view_open(f->store, &view), 0);
	assert_int_equal(store_view_rows(view, host_b, INT64_MIN, INT64_MAX, false, count_row, &up), 0);
	assert_int_equal(store_view_rows(view, host_b, INT64_MIN, INT64_MAX, true, count_row, &down), 0);
	assert_int_equal(store_view_row_heads(view, host_b, INT64_MIN, INT64_MAX, 0, count_row, &heads), 0);
	assert_int_equal(heads.last, ROWS);
	store_view_close(view);
	assert_in_range(up.damaged, 1, 4);
	assert_int_equal(up.whole + up.damaged, ROWS);
	assert_int_equal(down.whole, up.whole);
	assert_int_equal(down.damaged, up.damaged);
	assert_int_equal(store_seal(f->store, host_b, INT64_MIN, clock_wall_us(), ROWS, NULL, NULL, 0), 0);
	assert_int_equal(store_unsealed(f->store, &unsealed, &n), 0);
	assert_int_equal(n, 0);
	free(unsealed);
}

static void test_all_of_it_goes_when_it_is_old(void **state)
{
	struct fixture *f = *state;
	struct store_usage usage;
	struct store_view *view;
	uint64_t bytes = 0;
	assert_int_equal(store_drop(f->store, STORE_TIER_MINUTE, first_day() + 5 * FIXTURE_DAY_US, UINT64_MAX, &bytes),
			 0);
	assert_in_range(bytes, CHUNK_BYTES, 5 * 2 * STATISTICS * CHUNK_BYTES);
	for (enum store_tier tier = STORE_TIER_RAW; tier < STORE_TIER_END; tier++)
		assert_int_equal(store_drop(f->store, tier, INT64_MAX, UINT64_MAX, &bytes), 0);
	assert_int_equal(store_usage(f->store, &usage), 0);
	assert_int_equal(store_view_open(f->store, &view), 0);
	for (enum store_tier tier = STORE_TIER_RAW; tier < STORE_TIER_END; tier++) {
		assert_int_equal(usage.tiers[tier].chunks, 0);
		struct list l = list_of(view, host_a, tier, tier == STORE_TIER_MINUTE);
		assert_int_equal(l.n, 0);
		free(l.chunks);
	}
	store_view_close(view);
}

#define DAMAGED(test) cmocka_unit_test_setup_teardown(test, fixture_setup_as_it_is, fixture_teardown_as_it_is)

int main(int argc, char **argv)
{
	const struct CMUnitTest filling[] = {cmocka_unit_test_setup_teardown(fill, fixture_setup, fixture_teardown)};
	const struct CMUnitTest looking[] = {
		DAMAGED(test_a_page_of_compacted_chunks),
		DAMAGED(test_a_page_of_an_index),
		DAMAGED(test_a_page_of_payloads),
		DAMAGED(test_a_page_of_sealed_chunks),
		DAMAGED(test_all_of_it_goes_when_it_is_old),
	};
	if (!fixture_on_postgres() || argc != 2) {
		print_message("run by tests/integration/store/test_damage.py\n");
		return 77;
	}
	if (strcmp(argv[1], "fill") == 0)
		return cmocka_run_group_tests(filling, NULL, NULL);
	return cmocka_run_group_tests(looking, NULL, NULL);
}
