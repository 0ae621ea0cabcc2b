/* A disk that is full of history: what is old can still be deleted, the oldest first, and writing goes on after it. */
#include "fixture.h"

#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define CHUNK_BYTES 600000
#define MIB (1u << 20)

struct disk {
	char directory[64];
	char path[96], url[128], ballast[96], reserve[128];
	struct store *store;
	int chunks; /* put so far */
};

static uint64_t free_bytes(const struct disk *d)
{
	struct statvfs fs;
	assert_int_equal(statvfs(d->directory, &fs), 0);
	return (uint64_t)fs.f_bavail * fs.f_frsize;
}

static int setup(void **state)
{
	struct disk *d = calloc(1, sizeof(*d));
	assert_non_null(d);
	*state = d;
	snprintf(d->directory, sizeof(d->directory), "/tmp/sonde-disk-XXXXXX");
	assert_non_null(mkdtemp(d->directory));
	snprintf(d->path, sizeof(d->path), "%s/s.db", d->directory);
	snprintf(d->url, sizeof(d->url), "sqlite:%s", d->path);
	snprintf(d->ballast, sizeof(d->ballast), "%s/ballast", d->directory);
	snprintf(d->reserve, sizeof(d->reserve), "%s.reserve", d->path);
	if (mount("tmpfs", d->directory, "tmpfs", 0, "size=48m") < 0) {
		print_message("SKIP: no small filesystem can be mounted here: %s\n", strerror(errno));
		return 0;
	}
	char *line = NULL;
	assert_int_equal(store_open(d->url, &d->store, &line), 0);
	register_host(d->store, host_a, "a");
	return 0;
}

static int teardown(void **state)
{
	struct disk *d = *state;
	if (d->store) {
		store_close(d->store);
		assert_int_equal(umount(d->directory), 0);
	}
	assert_int_equal(rmdir(d->directory), 0);
	free(d);
	return 0;
}

static int put_chunk(struct disk *d)
{
	static uint8_t data[CHUNK_BYTES];
	memset(data, d->chunks, sizeof(data));
	struct store_chunk chunk = {.tier = STORE_TIER_RAW,
				    .first_us = d->chunks * 10,
				    .last_us = d->chunks * 10 + 9,
				    .made_us = 1,
				    .len = sizeof(data),
				    .data = data};
	int r = store_replace(d->store, host_a, NULL, 0, &chunk, 1);
	d->chunks += r == 0;
	return r;
}

/* Those that are left are the newest, whole. */
static void assert_newest_are_left(struct disk *d, size_t left)
{
	struct store_view *view;
	struct store_chunk *chunks = NULL;
	size_t n = 0;
	static uint8_t data[CHUNK_BYTES];
	assert_int_equal(store_view_open(d->store, &view), 0);
	assert_int_equal(store_view_chunks(view, host_a, STORE_TIER_RAW, 0, INT64_MIN, INT64_MAX, &chunks, &n), 0);
	assert_int_equal(n, left);
	for (size_t i = 0; i < n; i++) {
		int number = d->chunks - (int)n + (int)i;
		assert_true(chunks[i].first_us == number * 10);
		assert_int_equal(store_view_read(view, &chunks[i], 0, sizeof(data), data), 0);
		assert_int_equal(data[0], (uint8_t)number);
		assert_int_equal(data[sizeof(data) - 1], (uint8_t)number);
	}
	free(chunks);
	store_view_close(view);
}

static void assert_intact(const char *path)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *q = NULL;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &q, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(q, 0), "ok");
	sqlite3_finalize(q);
	sqlite3_close(db);
}

static void test_oldest_goes_first_on_a_full_disk(void **state)
{
	struct disk *d = *state;
	struct waiter w;
	struct stat st;
	uint64_t gone = 0;
	int r;
	if (!d->store)
		skip();
	assert_int_equal(stat(d->reserve, &st), 0);
	assert_true(st.st_size >= 5 * (off_t)MIB && st.st_size <= 6 * (off_t)MIB);
	while ((r = put_chunk(d)) == 0)
		;
	assert_int_equal(r, -ENOSPC);
	assert_true(d->chunks > 40);
	fixture_fill_disk(d->ballast);
	assert_true(free_bytes(d) == 0);

	waiter_init(&w);
	static char payload[300001];
	memset(payload, 'f', sizeof(payload) - 1);
	for (uint64_t i = 1; i <= 10; i++) {
		struct store_snapshot s = make_snapshot(i, payload);
		assert_int_equal(store_append(d->store, host_a, run_1, &s, 1, waiter_done, &w), 0);
	}
	wait_status(d->store, "database or disk is full");
	assert_newest_are_left(d, (size_t)d->chunks);

	/* Less than the reserve needs: what is freed is not written full again. */
	assert_int_equal(store_drop(d->store, STORE_TIER_RAW, INT64_MAX, 2 * MIB, &gone), 0);
	assert_true(gone >= 2 * MIB && gone < 2 * MIB + CHUNK_BYTES);
	size_t left = (size_t)d->chunks - gone / CHUNK_BYTES;
	assert_newest_are_left(d, left);
	assert_true(free_bytes(d) >= gone);
	assert_int_equal(stat(d->reserve, &st), -1);
	assert_int_equal(put_chunk(d), -ENOSPC);
	assert_int_equal(w.calls, 0);

	assert_int_equal(store_drop(d->store, STORE_TIER_RAW, INT64_MAX, 8 * MIB, &gone), 0);
	left -= gone / CHUNK_BYTES;
	assert_newest_are_left(d, left);
	assert_int_equal(stat(d->reserve, &st), 0);
	waiter_wait(&w, 10, 20);
	assert_int_equal(w.error, 0);
	wait_status(d->store, "ok");
	assert_int_equal(put_chunk(d), 0);
	assert_newest_are_left(d, left + 1);
	assert_durable(d->store, host_a, run_1, "1-10");
	assert_intact(d->path);
	store_close(d->store);
	char *line = NULL;
	assert_int_equal(store_open(d->url, &d->store, &line), 0);
	assert_newest_are_left(d, left + 1);
}

static off_t size_of(const struct disk *d)
{
	struct stat st, log;
	char path[128];
	snprintf(path, sizeof(path), "%s-wal", d->path);
	assert_int_equal(stat(d->path, &st), 0);
	assert_int_equal(stat(path, &log), 0);
	return st.st_size + log.st_size;
}

/* What is dropped leaves the disk at once, and nothing else is moved for it. */
static void test_space_is_given_back(void **state)
{
	struct disk *d = *state;
	uint64_t gone = 0;
	if (!d->store)
		skip();
	for (int i = 0; i < 20; i++)
		assert_int_equal(put_chunk(d), 0);
	assert_int_equal(store_drop(d->store, STORE_TIER_RAW, 0, UINT64_MAX, &gone), 0);
	assert_int_equal(gone, 0);
	for (int i = 0; i < 4; i++) {
		off_t before = size_of(d);
		assert_int_equal(store_drop(d->store, STORE_TIER_RAW, INT64_MAX, 4 * CHUNK_BYTES, &gone), 0);
		assert_int_equal(gone, 4 * CHUNK_BYTES);
		assert_true(before - size_of(d) >= (off_t)gone);
	}
	assert_newest_are_left(d, 4);
	assert_true(size_of(d) < 6 * CHUNK_BYTES);
	assert_intact(d->path);
}

/* Forty times over: full, a little deleted, full again. */
static void test_full_again_and_again(void **state)
{
	struct disk *d = *state;
	if (!d->store)
		skip();
	size_t left = 0;
	for (int round = 0; round < 40; round++) {
		uint64_t gone = 0;
		int r;
		while ((r = put_chunk(d)) == 0)
			left++;
		assert_int_equal(r, -ENOSPC);
		for (int i = 0; i < 20 && gone < 4 * MIB; i++) {
			uint64_t step = 0;
			assert_int_equal(store_drop(d->store, STORE_TIER_RAW, INT64_MAX, 2 * MIB, &step), 0);
			assert_true(step > 0);
			gone += step;
		}
		left -= gone / CHUNK_BYTES;
	}
	assert_true(d->chunks > 200);
	assert_newest_are_left(d, left);
	assert_intact(d->path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_oldest_goes_first_on_a_full_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_space_is_given_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_again_and_again, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
