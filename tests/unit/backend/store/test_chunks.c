/* Rows become chunks, chunks give way to others: what is seen of it, by whom, and that it is one step each time. */
#include "fixture.h"

#include "backend/store/store_ops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MINUTE_US 60000000ll
#define HOUR_US (60 * MINUTE_US)

struct counted {
	size_t n;
	int64_t last_received_us;
	uint64_t boottime_us;
};

static int count_row(void *arg, const struct store_row *row)
{
	struct counted *c = arg;
	c->n++;
	c->last_received_us = row->received_us;
	c->boottime_us = row->boottime_us;
	return 0;
}

static size_t rows_in(struct store_view *view, const uint8_t host[16])
{
	struct counted c = {0};
	assert_int_equal(store_view_rows(view, host, INT64_MIN, INT64_MAX, false, count_row, &c), 0);
	return c.n;
}

static size_t rows_of(struct store *store, const uint8_t host[16])
{
	struct store_view *view;
	assert_int_equal(store_view_open(store, &view), 0);
	size_t n = rows_in(view, host);
	store_view_close(view);
	return n;
}

/* `n` rows, a second apart, received when they were made. */
static void append_rows(struct store *store, const uint8_t host[16], uint64_t first, size_t n, int64_t from_us)
{
	struct waiter w;
	struct store_snapshot snapshots[64];
	waiter_init(&w);
	assert_true(n <= 64);
	for (size_t i = 0; i < n; i++) {
		snapshots[i] = make_snapshot(first + i, "payload");
		snapshots[i].agent_us = snapshots[i].received_us = from_us + (int64_t)i * 1000000;
		snapshots[i].boottime_us = 77 + i;
	}
	assert_int_equal(store_append(store, host, run_1, snapshots, n, waiter_done, &w), 0);
	waiter_wait(&w, 1, 10);
	assert_int_equal(w.error, 0);
}

/* Bytes that tell where they stand. */
static uint8_t *make_bytes(uint32_t seed, size_t len)
{
	uint8_t *data = malloc(len);
	assert_non_null(data);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)((i * 2654435761u + seed * 40503u) >> 13);
	return data;
}

static struct store_chunk make_chunk(enum store_tier tier, int64_t first_us, int64_t last_us, const uint8_t *data,
				     size_t len)
{
	return (struct store_chunk){.tier = tier,
				    .window_us = first_us - first_us % (6 * HOUR_US),
				    .first_us = first_us,
				    .last_us = last_us,
				    .made_us = last_us + MINUTE_US,
				    .len = len,
				    .data = data};
}

static struct store_chunk small_chunk(enum store_tier tier, int64_t first_us)
{
	static const uint8_t data[] = "a few bytes";
	return make_chunk(tier, first_us, first_us + MINUTE_US, data, sizeof(data));
}

static void put(struct store *store, const uint8_t host[16], const struct store_chunk *chunks, size_t n)
{
	assert_int_equal(store_replace(store, host, NULL, 0, chunks, n), 0);
}

static size_t list(struct store *store, const uint8_t host[16], enum store_tier tier, int64_t from_us, int64_t to_us,
		   struct store_chunk **ret)
{
	struct store_view *view;
	size_t n = 0;
	assert_int_equal(store_view_open(store, &view), 0);
	assert_int_equal(store_view_chunks(view, host, tier, 0, from_us, to_us, ret, &n), 0);
	store_view_close(view);
	return n;
}

static size_t count(struct store *store, const uint8_t host[16], enum store_tier tier)
{
	struct store_chunk *chunks = NULL;
	size_t n = list(store, host, tier, INT64_MIN, INT64_MAX, &chunks);
	free(chunks);
	return n;
}

static void assert_bytes(struct store_view *view, const struct store_chunk *chunk, uint32_t seed, uint64_t offset,
			 size_t len)
{
	uint8_t *expected = make_bytes(seed, chunk->len), *got = malloc(len + 1);
	assert_non_null(got);
	assert_int_equal(store_view_read(view, chunk, offset, len, got), 0);
	assert_memory_equal(got, expected + offset, len);
	free(expected);
	free(got);
}

static void test_sealed_rows_are_not_seen(void **state)
{
	struct fixture *f = *state;
	struct store_unsealed *unsealed = NULL;
	size_t n = 0;
	append_rows(f->store, host_a, 1, 60, HOUR_US);
	append_rows(f->store, host_b, 1, 5, HOUR_US);
	assert_int_equal(store_unsealed(f->store, &unsealed, &n), 0);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(unsealed[i].rows, memcmp(unsealed[i].host_id, host_a, 16) == 0 ? 60 : 5);
		assert_true(unsealed[i].sealed_us == INT64_MIN);
	}
	free(unsealed);

	struct store_chunk chunk = make_chunk(STORE_TIER_RAW, HOUR_US, HOUR_US + 39000000, (const uint8_t *)"x", 1);
	struct store_row latest = {.agent_us = HOUR_US + 39000000,
				   .received_us = HOUR_US + 39000000,
				   .descriptor_hash = {1, 2, 3},
				   .payload = (const uint8_t *)"kept",
				   .len = 4};
	int64_t upto = HOUR_US + 39000000;
	/* Another number of rows than there are: somebody committed meanwhile. */
	assert_int_equal(store_seal(f->store, host_a, INT64_MIN, upto, 39, &latest, &chunk, 1), -ESTALE);
	assert_int_equal(store_seal(f->store, host_a, 5, upto, 40, &latest, &chunk, 1), -ESTALE);
	assert_int_equal(rows_of(f->store, host_a), 60);
	assert_int_equal(count(f->store, host_a, STORE_TIER_RAW), 0);
	assert_int_equal(store_seal(f->store, run_1, INT64_MIN, upto, 0, NULL, NULL, 0), -ENOENT);

	assert_int_equal(store_seal(f->store, host_a, INT64_MIN, upto, 40, &latest, &chunk, 1), 0);
	assert_int_equal(rows_of(f->store, host_a), 20);
	assert_int_equal(rows_of(f->store, host_b), 5);
	assert_int_equal(count(f->store, host_a, STORE_TIER_RAW), 1);
	assert_int_equal(count(f->store, host_b, STORE_TIER_RAW), 0);
	assert_int_equal(store_seal(f->store, host_a, INT64_MIN, upto, 40, &latest, &chunk, 1), -ESTALE);
	assert_int_equal(count(f->store, host_a, STORE_TIER_RAW), 1);
	assert_int_equal(store_unsealed(f->store, &unsealed, &n), 0);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < n; i++)
		assert_true(memcmp(unsealed[i].host_id, host_a, 16) != 0 ||
			    (unsealed[i].rows == 20 && unsealed[i].sealed_us == upto));
	free(unsealed);
	fixture_reopen(f);
	assert_int_equal(rows_of(f->store, host_a), 20);
	assert_int_equal(count(f->store, host_a, STORE_TIER_RAW), 1);
	assert_durable(f->store, host_a, run_1, "1-60");
}

static void test_a_late_row_is_not_taken_for_sealed(void **state)
{
	struct fixture *f = *state;
	struct store_view *view;
	struct counted c = {0};
	append_rows(f->store, host_a, 1, 10, HOUR_US);
	assert_int_equal(store_seal(f->store, host_a, INT64_MIN, 2 * HOUR_US, 10, NULL, NULL, 0), 0);
	assert_int_equal(rows_of(f->store, host_a), 0);
	append_rows(f->store, host_a, 11, 1, HOUR_US + 30000000);
	assert_int_equal(store_view_open(f->store, &view), 0);
	assert_int_equal(store_view_rows(view, host_a, INT64_MIN, INT64_MAX, true, count_row, &c), 0);
	store_view_close(view);
	assert_int_equal(c.n, 1);
	assert_true(c.last_received_us == 2 * HOUR_US + 1);
	assert_int_equal(c.boottime_us, 77);
}

static void test_latest_outlives_the_rows(void **state)
{
	struct fixture *f = *state;
	struct store_row latest = {.agent_us = HOUR_US + 9000000,
				   .received_us = HOUR_US + 9000000,
				   .descriptor_hash = {1, 2, 3},
				   .payload = (const uint8_t *)"newest",
				   .len = 6};
	append_rows(f->store, host_a, 1, 10, HOUR_US);
	assert_int_equal(store_seal(f->store, host_a, INT64_MIN, HOUR_US + 9000000, 10, &latest, NULL, 0), 0);
	fixture_ask(f, "DELETE FROM hot");
	assert_latest(f->store, host_a, "newest");
	/* Older data that come later do not become the newest, newer ones do. */
	append_rows(f->store, host_a, 11, 1, HOUR_US - MINUTE_US);
	assert_latest(f->store, host_a, "newest");
	append_rows(f->store, host_a, 12, 1, HOUR_US + MINUTE_US);
	assert_latest(f->store, host_a, "payload");
	fixture_ask(f, "DELETE FROM hot");
	struct store_row older = latest;
	older.agent_us = HOUR_US - MINUTE_US;
	older.received_us = HOUR_US + MINUTE_US;
	older.payload = (const uint8_t *)"older!";
	assert_int_equal(store_seal(f->store, host_a, HOUR_US + 9000000, 2 * HOUR_US, 0, &older, NULL, 0), 0);
	assert_latest(f->store, host_a, "newest");
	/* A clock that was ahead does not keep its snapshot the newest. */
	struct store_row ahead = latest;
	ahead.agent_us = 100000 * HOUR_US;
	ahead.payload = (const uint8_t *)"ahead!";
	assert_int_equal(store_seal(f->store, host_a, 2 * HOUR_US, 3 * HOUR_US, 0, &ahead, NULL, 0), 0);
	assert_latest(f->store, host_a, "ahead!");
	struct store_row mended = latest;
	mended.agent_us = mended.received_us = 3 * HOUR_US;
	mended.payload = (const uint8_t *)"mended";
	assert_int_equal(store_seal(f->store, host_a, 3 * HOUR_US, 4 * HOUR_US, 0, &mended, NULL, 0), 0);
	assert_latest(f->store, host_a, "mended");
	fixture_reopen(f);
	assert_latest(f->store, host_a, "mended");
}

static void test_listing(void **state)
{
	struct fixture *f = *state;
	struct store_chunk chunks[4], *found = NULL;
	for (int i = 0; i < 3; i++)
		chunks[i] = small_chunk(STORE_TIER_RAW, (i + 1) * HOUR_US);
	chunks[3] = small_chunk(STORE_TIER_MINUTE, HOUR_US);
	chunks[3].statistic = 4;
	put(f->store, host_a, chunks, 4);
	put(f->store, host_a, &chunks[1], 1);
	assert_int_equal(list(f->store, host_a, STORE_TIER_RAW, INT64_MIN, INT64_MAX, &found), 4);
	assert_true(found[0].first_us == HOUR_US && found[3].first_us == 3 * HOUR_US);
	assert_true(found[1].first_us == 2 * HOUR_US && found[2].first_us == 2 * HOUR_US);
	assert_true(found[1].generation < found[2].generation);
	assert_true(found[0].generation < found[1].generation && found[1].generation < found[3].generation);
	assert_true(found[3].generation < found[2].generation);
	assert_true(found[0].last_us == HOUR_US + MINUTE_US && found[0].made_us == HOUR_US + 2 * MINUTE_US);
	assert_true(found[0].len == 12 && !found[0].compacted && found[0].tier == STORE_TIER_RAW);
	assert_true(found[0].window_us == 0 && found[0].statistic == 0 && !found[0].data);
	free(found);
	/* Both ends count. */
	assert_int_equal(list(f->store, host_a, STORE_TIER_RAW, HOUR_US + MINUTE_US, 2 * HOUR_US, &found), 3);
	free(found);
	assert_int_equal(list(f->store, host_a, STORE_TIER_RAW, HOUR_US + MINUTE_US + 1, 2 * HOUR_US - 1, &found), 0);
	free(found);
	assert_int_equal(list(f->store, run_1, STORE_TIER_RAW, INT64_MIN, INT64_MAX, &found), 0);
	free(found);
	struct store_view *view;
	size_t n = 0;
	assert_int_equal(store_view_open(f->store, &view), 0);
	assert_int_equal(store_view_chunks(view, host_a, STORE_TIER_MINUTE, 4, 0, INT64_MAX, &found, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(found[0].statistic, 4);
	free(found);
	store_view_close(view);
	struct store_chunk empty = small_chunk(STORE_TIER_RAW, 1);
	empty.len = 0;
	assert_int_equal(store_replace(f->store, host_a, NULL, 0, &empty, 1), -EINVAL);
	assert_int_equal(store_replace(f->store, run_2, NULL, 0, chunks, 1), -ENOENT);
}

/* The longest there may be is found by its last moment, and none that is longer is taken. */
static void test_long_ones_are_found_by_their_ends(void **state)
{
	struct fixture *f = *state;
	struct store_chunk chunk = make_chunk(STORE_TIER_MINUTE, 24 * HOUR_US, 0, (const uint8_t *)"x", 1),
			   *found = NULL;
	chunk.last_us = chunk.window_us + STORE_WINDOW_MAX_US;
	put(f->store, host_a, &chunk, 1);
	assert_int_equal(list(f->store, host_a, STORE_TIER_MINUTE, chunk.last_us, INT64_MAX, &found), 1);
	free(found);
	assert_int_equal(list(f->store, host_a, STORE_TIER_MINUTE, chunk.last_us + 1, INT64_MAX, &found), 0);
	free(found);
	chunk.last_us++;
	assert_int_equal(store_replace(f->store, host_a, NULL, 0, &chunk, 1), -EINVAL);
	chunk.last_us -= 2;
	chunk.window_us = chunk.first_us + 1;
	assert_int_equal(store_replace(f->store, host_a, NULL, 0, &chunk, 1), -EINVAL);
}

static void test_reading_parts(void **state)
{
	struct fixture *f = *state;
	enum { LEN = 3000000 };
	uint8_t *data = make_bytes(1, LEN), byte;
	struct store_chunk chunk = make_chunk(STORE_TIER_RAW, 0, HOUR_US, data, LEN), *found = NULL;
	put(f->store, host_a, &chunk, 1);
	free(data);
	struct store_view *view;
	size_t n = 0;
	fixture_reopen(f);
	assert_int_equal(store_view_open(f->store, &view), 0);
	assert_int_equal(store_view_chunks(view, host_a, STORE_TIER_RAW, 0, 0, 0, &found, &n), 0);
	assert_int_equal(n, 1);
	assert_bytes(view, found, 1, 0, LEN);
	assert_bytes(view, found, 1, LEN - 1, 1);
	assert_bytes(view, found, 1, LEN, 0);
	for (unsigned i = 0; i < 200; i++) {
		uint64_t offset = (i * 2654435761u) % LEN;
		size_t len = (i * 40503u) % 300000;
		assert_bytes(view, found, 1, offset, offset + len > LEN ? LEN - offset : len);
	}
	assert_int_equal(store_view_read(view, found, LEN, 1, &byte), -ERANGE);
	assert_int_equal(store_view_read(view, found, 0, LEN + 1, &byte), -ERANGE);
	assert_int_equal(store_view_read(view, found, UINT64_MAX, 2, &byte), -ERANGE);
	store_view_close(view);
	free(found);
}

/* They are compacted, with the same bytes, and nobody is told of them any more. */
static void test_keeping(void **state)
{
	struct fixture *f = *state;
	struct store_chunk chunks[3], *old = NULL, *now = NULL;
	struct store_window *windows;
	struct store_view *view;
	size_t n;
	for (int i = 0; i < 3; i++)
		chunks[i] = small_chunk(STORE_TIER_PROCESSES, i * HOUR_US);
	put(f->store, host_a, chunks, 3);
	assert_int_equal(list(f->store, host_a, STORE_TIER_PROCESSES, INT64_MIN, INT64_MAX, &old), 3);
	for (int i = 0; i < 3; i++)
		old[i].data = chunks[i].data;
	assert_int_equal(store_keep(f->store, host_b, old, 2), -ESTALE);
	assert_int_equal(store_keep(f->store, host_a, old, 2), 0);
	assert_int_equal(list(f->store, host_a, STORE_TIER_PROCESSES, INT64_MIN, INT64_MAX, &now), 3);
	assert_int_equal(store_view_open(f->store, &view), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(now[i].compacted, i < 2);
		assert_int_equal(now[i].first_us, old[i].first_us);
		assert_int_equal(now[i].made_us, old[i].made_us);
		assert_int_equal(now[i].len, chunks[i].len);
		assert_true(now[i].generation >= old[i].generation);
		uint8_t *bytes = malloc(now[i].len);
		assert_int_equal(store_view_read(view, &now[i], 0, now[i].len, bytes), 0);
		assert_memory_equal(bytes, chunks[i].data, chunks[i].len);
		free(bytes);
	}
	store_view_close(view);
	assert_int_equal(store_windows(f->store, STORE_TIER_PROCESSES, INT64_MAX, INT64_MAX, 10, &windows, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(windows[0].chunks, 1);
	free(windows);
	/* One of them is gone: nothing changes of the other. */
	old[0] = now[0];
	assert_int_equal(store_replace(f->store, host_a, now, 1, NULL, 0), 0);
	chunks[0] = old[2];
	chunks[1] = old[0];
	chunks[1].data = chunks[0].data;
	assert_int_equal(store_keep(f->store, host_a, chunks, 2), -ESTALE);
	free(now);
	assert_int_equal(list(f->store, host_a, STORE_TIER_PROCESSES, INT64_MIN, INT64_MAX, &now), 2);
	assert_true(now[0].compacted && !now[1].compacted);
	free(old);
	free(now);
}

static void test_replacing(void **state)
{
	struct fixture *f = *state;
	struct store_chunk chunks[3], *old = NULL, *now = NULL;
	for (int i = 0; i < 3; i++)
		chunks[i] = small_chunk(STORE_TIER_RAW, i * HOUR_US);
	put(f->store, host_a, chunks, 3);
	size_t n_old = list(f->store, host_a, STORE_TIER_RAW, INT64_MIN, INT64_MAX, &old);
	struct store_chunk whole = make_chunk(STORE_TIER_RAW, 0, 3 * HOUR_US, (const uint8_t *)"whole", 5);
	whole.compacted = true;
	assert_int_equal(store_replace(f->store, host_b, old, n_old, &whole, 1), -ESTALE);
	assert_int_equal(store_replace(f->store, host_a, old, n_old, &whole, 1), 0);
	assert_int_equal(list(f->store, host_a, STORE_TIER_RAW, INT64_MIN, INT64_MAX, &now), 1);
	assert_true(now[0].compacted);
	assert_true(now[0].generation > old[2].generation);
	/* One of them is gone: nothing changes, neither of the old nor of the new. */
	chunks[0] = now[0];
	chunks[1] = old[1];
	assert_int_equal(store_replace(f->store, host_a, chunks, 2, &whole, 1), -ESTALE);
	free(now);
	assert_int_equal(list(f->store, host_a, STORE_TIER_RAW, INT64_MIN, INT64_MAX, &now), 1);
	struct store_view *view;
	uint8_t bytes[5];
	assert_int_equal(store_view_open(f->store, &view), 0);
	assert_int_equal(store_view_read(view, now, 0, 5, bytes), 0);
	assert_memory_equal(bytes, "whole", 5);
	store_view_close(view);
	assert_int_equal(store_replace(f->store, host_a, now, 1, NULL, 0), 0);
	assert_int_equal(count(f->store, host_a, STORE_TIER_RAW), 0);
	free(old);
	free(now);
}

struct changer {
	struct store *store;
	struct store_chunk old;
	int result;
};

static void *change_all(void *arg)
{
	struct changer *c = arg;
	struct store_chunk chunk = small_chunk(STORE_TIER_RAW, 5 * HOUR_US);
	uint64_t bytes;
	c->result = store_seal(c->store, host_a, INT64_MIN, 2 * HOUR_US, 20, NULL, &chunk, 1);
	if (c->result == 0)
		c->result = store_replace(c->store, host_a, &c->old, 1, &chunk, 1);
	if (c->result == 0)
		c->result = store_drop(c->store, STORE_TIER_RAW, INT64_MAX, UINT64_MAX, &bytes);
	return NULL;
}

static void test_a_view_does_not_change(void **state)
{
	struct fixture *f = *state;
	enum { LEN = 700000 };
	uint8_t *data = make_bytes(7, LEN);
	struct store_chunk chunk = make_chunk(STORE_TIER_RAW, 0, HOUR_US, data, LEN), *found = NULL, *again = NULL;
	struct store_view *view;
	pthread_t thread;
	size_t n = 0;
	append_rows(f->store, host_a, 1, 20, HOUR_US);
	put(f->store, host_a, &chunk, 1);
	free(data);
	assert_int_equal(store_view_open(f->store, &view), 0);
	assert_int_equal(store_view_chunks(view, host_a, STORE_TIER_RAW, 0, 0, INT64_MAX, &found, &n), 0);
	assert_int_equal(n, 1);
	struct changer changer = {.store = f->store, .old = found[0]};
	assert_int_equal(pthread_create(&thread, NULL, change_all, &changer), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(changer.result, 0);
	assert_int_equal(rows_in(view, host_a), 20);
	assert_int_equal(store_view_chunks(view, host_a, STORE_TIER_RAW, 0, 0, INT64_MAX, &again, &n), 0);
	assert_int_equal(n, 1);
	assert_true(again[0].id == found[0].id);
	assert_bytes(view, found, 7, 0, LEN);
	store_view_close(view);
	assert_int_equal(rows_of(f->store, host_a), 0);
	assert_int_equal(count(f->store, host_a, STORE_TIER_RAW), 0);
	free(found);
	free(again);
}

static void test_windows(void **state)
{
	struct fixture *f = *state;
	struct store_chunk chunks[5];
	struct store_window *windows = NULL;
	size_t n = 0;
	for (int i = 0; i < 4; i++)
		chunks[i] = small_chunk(STORE_TIER_RAW, i * 2 * HOUR_US); /* 0, 2, 4 | 6 o'clock */
	chunks[4] = small_chunk(STORE_TIER_RAW, 12 * HOUR_US);
	chunks[4].compacted = true;
	put(f->store, host_a, chunks, 5);
	put(f->store, host_b, &chunks[3], 1);
	assert_int_equal(store_windows(f->store, STORE_TIER_RAW, INT64_MAX, INT64_MAX, 100, &windows, &n), 0);
	assert_int_equal(n, 3);
	assert_memory_equal(windows[0].host_id, host_a, 16);
	assert_true(windows[0].window_us == 0 && windows[0].chunks == 3 && windows[0].statistic == 0);
	assert_true(windows[0].newest_us == 4 * HOUR_US + 2 * MINUTE_US);
	assert_true(windows[1].window_us == 6 * HOUR_US && windows[2].window_us == 6 * HOUR_US);
	free(windows);
	assert_int_equal(store_windows(f->store, STORE_TIER_RAW, INT64_MAX, INT64_MAX, 2, &windows, &n), 0);
	assert_int_equal(n, 2);
	free(windows);
	assert_int_equal(store_windows(f->store, STORE_TIER_RAW, 6 * HOUR_US, INT64_MAX, 100, &windows, &n), 0);
	assert_int_equal(n, 1);
	free(windows);
	/* The first has a chunk that is newer than that. */
	assert_int_equal(store_windows(f->store, STORE_TIER_RAW, INT64_MAX, 4 * HOUR_US, 100, &windows, &n), 0);
	assert_int_equal(n, 0);
	free(windows);
	assert_int_equal(store_windows(f->store, STORE_TIER_MINUTE, INT64_MAX, INT64_MAX, 100, &windows, &n), 0);
	assert_int_equal(n, 0);
	free(windows);
}

static void test_dropping(void **state)
{
	struct fixture *f = *state;
	enum { LEN = 100000, CHUNKS = 20 };
	uint8_t *data = make_bytes(3, LEN);
	uint64_t bytes = 1;
	for (int i = 0; i < CHUNKS; i++) {
		struct store_chunk chunk =
			make_chunk(STORE_TIER_RAW, i * 6 * HOUR_US, i * 6 * HOUR_US + HOUR_US, data, LEN);
		put(f->store, i % 2 ? host_a : host_b, &chunk, 1);
	}
	struct store_chunk other = make_chunk(STORE_TIER_PROCESSES, 0, HOUR_US, data, LEN), *found = NULL;
	put(f->store, host_a, &other, 1);
	free(data);
	assert_int_equal(store_drop(f->store, STORE_TIER_RAW, HOUR_US, UINT64_MAX, &bytes), 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(store_drop(f->store, STORE_TIER_RAW, INT64_MAX, 0, &bytes), 0);
	assert_int_equal(bytes, 0);
	/* By time: the first two. An engine that drops whole partitions may take no more than is old. */
	assert_int_equal(store_drop(f->store, STORE_TIER_RAW, 7 * HOUR_US + 1, UINT64_MAX, &bytes), 0);
	assert_int_equal(bytes, 2 * LEN);
	assert_int_equal(count(f->store, host_a, STORE_TIER_RAW) + count(f->store, host_b, STORE_TIER_RAW), CHUNKS - 2);
	/* By size: the oldest of what is left, at least so much. */
	assert_int_equal(store_drop(f->store, STORE_TIER_RAW, INT64_MAX, 3 * LEN - 5, &bytes), 0);
	assert_true(bytes >= 3 * LEN - 5);
	size_t gone = 2 + bytes / LEN;
	assert_int_equal(count(f->store, host_a, STORE_TIER_RAW) + count(f->store, host_b, STORE_TIER_RAW),
			 CHUNKS - gone);
	size_t n = list(f->store, gone % 2 ? host_a : host_b, STORE_TIER_RAW, INT64_MIN, INT64_MAX, &found);
	assert_true(n > 0 && found[0].first_us == (int64_t)gone * 6 * HOUR_US);
	free(found);
	assert_int_equal(count(f->store, host_a, STORE_TIER_PROCESSES), 1);
	assert_int_equal(store_drop(f->store, STORE_TIER_RAW, INT64_MAX, UINT64_MAX, &bytes), 0);
	assert_int_equal(bytes, (CHUNKS - gone) * LEN);
	assert_int_equal(count(f->store, host_a, STORE_TIER_PROCESSES), 1);
}

static void test_usage(void **state)
{
	struct fixture *f = *state;
	struct store_usage usage;
	struct store_chunk chunks[2] = {small_chunk(STORE_TIER_RAW, HOUR_US), small_chunk(STORE_TIER_RAW, 3 * HOUR_US)};
	assert_int_equal(store_usage(f->store, &usage), 0);
	assert_int_equal(usage.rows, 0);
	assert_int_equal(usage.tiers[STORE_TIER_RAW].chunks, 0);
	assert_int_equal(usage.tiers[STORE_TIER_RAW].oldest_us, 0);
	chunks[1].compacted = true;
	put(f->store, host_a, chunks, 2);
	append_rows(f->store, host_a, 1, 50, HOUR_US);
	assert_int_equal(store_usage(f->store, &usage), 0);
	assert_int_equal(usage.tiers[STORE_TIER_RAW].chunks, 2);
	assert_int_equal(usage.tiers[STORE_TIER_RAW].bytes, 24);
	assert_int_equal(usage.tiers[STORE_TIER_RAW].uncompacted_bytes, 12);
	assert_true(usage.tiers[STORE_TIER_RAW].oldest_us == HOUR_US);
	assert_true(usage.tiers[STORE_TIER_RAW].newest_us == 3 * HOUR_US + MINUTE_US);
	assert_int_equal(usage.tiers[STORE_TIER_MINUTE].chunks, 0);
	assert_true(usage.total_bytes > 0);
	if (!f->is_postgres) { /* which knows the number only roughly, and after a while */
		assert_int_equal(usage.rows, 50);
		assert_int_equal(usage.row_bytes, 50 * strlen("payload"));
		assert_true(usage.disk_free_bytes > 0 && usage.disk_free_bytes < UINT64_MAX);
	}
}

/* Deleted is what is sealed, so many at a time; PostgreSQL drops partitions. */
static void test_sealed_rows_go_in_steps(void **state)
{
	struct fixture *f = *state;
	void *engine = NULL;
	char *line = NULL;
	for (uint64_t i = 0; i < 10; i++)
		append_rows(f->store, host_a, 1 + i * 60, 60, HOUR_US + (int64_t)i * MINUTE_US);
	append_rows(f->store, host_b, 1, 60, HOUR_US);
	store_close(f->store);
	f->store = NULL;
	assert_int_equal(store_sqlite.open(f->path, &engine, &line), 0);
	assert_int_equal(store_sqlite.expire(engine, 250), 0);
	assert_int_equal(store_sqlite.seal(engine, host_a, INT64_MIN, HOUR_US + 9 * MINUTE_US - 1, 540, NULL, NULL, 0),
			 0);
	assert_int_equal(store_sqlite.seal(engine, host_b, INT64_MIN, 2 * HOUR_US, 60, NULL, NULL, 0), 0);
	assert_int_equal(store_sqlite.expire(engine, 250), 250);
	assert_int_equal(store_sqlite.expire(engine, 250), 250);
	assert_int_equal(store_sqlite.expire(engine, 250), 100);
	assert_int_equal(store_sqlite.expire(engine, 250), 0);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM hot"), 60);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM hot WHERE sequence > 540"), 60);
	store_sqlite.close(engine);
	fixture_open(f);
	assert_durable(f->store, host_a, run_1, "1-600");
	assert_int_equal(rows_of(f->store, host_a), 60);
}

static void test_somebody_leads(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(store_lead(f->store), 1);
	assert_int_equal(store_lead(f->store), 1);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(test_sealed_rows_are_not_seen),
		WITH_STORE(test_a_late_row_is_not_taken_for_sealed),
		WITH_STORE(test_latest_outlives_the_rows),
		WITH_STORE(test_listing),
		WITH_STORE(test_long_ones_are_found_by_their_ends),
		WITH_STORE(test_reading_parts),
		WITH_STORE(test_keeping),
		WITH_STORE(test_replacing),
		WITH_STORE(test_a_view_does_not_change),
		WITH_STORE(test_windows),
		WITH_STORE(test_dropping),
		WITH_STORE(test_usage),
		WITH_STORE(test_somebody_leads),
	};
	const struct CMUnitTest of_sqlite[] = {WITH_STORE(test_sealed_rows_go_in_steps)};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	return fixture_on_postgres() ? failed : failed + cmocka_run_group_tests(of_sqlite, NULL, NULL);
}
