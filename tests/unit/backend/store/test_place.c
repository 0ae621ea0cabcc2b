/* What was put together lies in one run of pages, whatever holes there are, and the holes are filled again after. */
#include "fixture.h"

#include "backend/store/sqlite_engine.h"
#include "backend/store/store_ops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SMALL 3000    /* of one page */
#define STAYING 40000 /* as many pages as nothing else has */
#define GOING 24000
#define SMALLS 400
#define PAGES_OF(len) ((len) / 4096)
#define SECOND_NS 1000000000ull
#define DAY_NS (24 * 3600 * SECOND_NS)

static struct store_chunk chunk_of(int64_t number, size_t len, bool compacted)
{
	static uint8_t bytes[STAYING];
	int64_t at = FIXTURE_HOUR_US + number * 1000000;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)((i * 2654435761u + (size_t)number) >> 9);
	return (struct store_chunk){.tier = STORE_TIER_RAW,
				    .compacted = compacted,
				    .window_us = FIXTURE_HOUR_US,
				    .first_us = at,
				    .last_us = at,
				    .made_us = at,
				    .data = bytes,
				    .len = len};
}

/* Every second of many small ones goes: single pages are free, none beside another. */
static void make_holes(void *engine, int64_t *seal)
{
	struct store_chunk *small;
	size_t n;
	void *view;
	for (int64_t i = 0; i < SMALLS; i++) {
		const struct store_chunk chunk = chunk_of(*seal, SMALL, false);
		assert_int_equal(store_sqlite.seal(engine, host_a, *seal == 0 ? INT64_MIN : *seal, *seal + 1, 0, NULL,
						   &chunk, 1),
				 0);
		++*seal;
	}
	assert_int_equal(store_sqlite.view_open(engine, true, &view), 0);
	assert_int_equal(store_sqlite.view_chunks(view, host_a, STORE_TIER_RAW, 0, INT64_MIN, INT64_MAX, &small, &n),
			 0);
	store_sqlite.view_close(view);
	for (size_t i = 0; i < n; i += 2)
		assert_int_equal(store_sqlite.replace(engine, host_a, &small[i], 1, NULL, 0), 0);
	free(small);
}

static void put(void *engine, int64_t number, size_t len, bool compacted)
{
	const struct store_chunk chunk = chunk_of(number, len, compacted);
	assert_int_equal(store_sqlite.replace(engine, host_a, NULL, 0, &chunk, 1), 0);
}

struct layout {
	unsigned rows, runs;
};

/* Every 820th page says what the others are, and belongs to nothing. */
static int64_t after(int64_t page)
{
	return (page + 1 - 2) % 820 == 0 ? page + 2 : page + 1;
}

/* Of the rows of pieces with as many overflow pages, or one more. False when this library does not tell. */
static bool look(const struct fixture *f, unsigned pages, struct layout *ret)
{
	struct layout l = {0};
	sqlite3 *db;
	sqlite3_stmt *stmt = NULL;
	char row[64] = "";
	unsigned n = 0, runs = 0;
	int64_t last = 0;
	assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	if (sqlite3_prepare_v2(
		    db,
		    "SELECT substr(path, 1, instr(path, '+')), pageno FROM dbstat WHERE name = 'chunk_pieces'"
		    " AND pagetype = 'overflow' ORDER BY path",
		    -1, &stmt, NULL) != SQLITE_OK) {
		sqlite3_close(db);
		return false;
	}
	for (bool more = true; more;) {
		more = sqlite3_step(stmt) == SQLITE_ROW;
		const char *path = more ? (const char *)sqlite3_column_text(stmt, 0) : "";
		int64_t page = more ? sqlite3_column_int64(stmt, 1) : 0;
		if (strcmp(path, row) != 0) {
			bool counts = n >= pages && n <= pages + 1;
			l.rows += counts;
			l.runs += counts ? runs : 0;
			n = runs = 0;
			snprintf(row, sizeof(row), "%s", path);
		}
		runs += n == 0 || page != after(last);
		last = page;
		n++;
	}
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	*ret = l;
	return true;
}

static struct sqlite_engine *open_alone(struct fixture *f)
{
	void *engine = NULL;
	char *line = NULL;
	store_close(f->store);
	f->store = NULL;
	assert_int_equal(store_sqlite.open(f->path, &engine, &line), 0);
	return engine;
}

static void test_what_stays_lies_together(void **state)
{
	struct fixture *f = *state;
	struct sqlite_engine *e = open_alone(f);
	struct layout l;
	int64_t seal = 0;
	make_holes(e, &seal);
	for (int64_t i = 0; i < 8; i++)
		put(e, seal + i, GOING, false);
	if (!look(f, PAGES_OF(GOING), &l)) {
		print_message("skipped: SQLite has no dbstat here\n");
		store_sqlite.close(e);
		skip();
	}
	/* There are holes, or this would show nothing. */
	assert_int_equal(l.rows, 8);
	assert_true(l.runs > 2 * l.rows);
	for (int64_t i = 0; i < 8; i++)
		put(e, seal + 8 + i, STAYING, true);
	assert_true(look(f, PAGES_OF(STAYING), &l));
	assert_int_equal(l.rows, 8);
	assert_int_equal(l.runs, 8);
	store_sqlite.close(e);
}

/* What comes with it and goes in a day has pages that were free, and numbers of its own. */
static void test_what_goes_lies_apart(void **state)
{
	struct fixture *f = *state;
	struct sqlite_engine *e = open_alone(f);
	int64_t seal = 0;
	make_holes(e, &seal);
	put(e, seal, STAYING, true);
	int64_t pages = fixture_ask(f, "PRAGMA page_count");
	for (int64_t i = 1; i <= 8; i++) {
		const struct store_chunk chunks[] = {
			chunk_of(seal + 100 * i, STAYING, true), chunk_of(seal + 100 * i + 1, SMALL, false),
			chunk_of(seal + 100 * i + 2, SMALL, false), chunk_of(seal + 100 * i + 3, SMALL, false)};
		assert_int_equal(store_sqlite.replace(e, host_a, NULL, 0, chunks, 4), 0);
	}
	int64_t grown = fixture_ask(f, "PRAGMA page_count") - pages;
	assert_true(grown >= 8 * PAGES_OF(STAYING));
	assert_true(grown <= 8 * (PAGES_OF(STAYING) + 2));
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM chunks WHERE (chunk >= 35184372088832) <> compacted"), 0);
	int64_t newest = fixture_ask(f, "SELECT max(chunk) FROM chunks");
	store_sqlite.close(e);
	fixture_open(f);
	e = open_alone(f);
	put(e, seal + 1000, STAYING, true);
	assert_int_equal(fixture_ask(f, "SELECT max(chunk) FROM chunks"), newest + 1);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
			 0);
	store_sqlite.close(e);
}

static void test_holes_are_filled_again(void **state)
{
	struct fixture *f = *state;
	struct sqlite_engine *e = open_alone(f);
	int64_t seal = 0;
	make_holes(e, &seal);
	int64_t free_pages = fixture_ask(f, "PRAGMA freelist_count"),
		pieces = fixture_ask(f, "SELECT count(*) FROM chunk_pieces");
	assert_true(free_pages > SMALLS / 4);
	put(e, seal, STAYING, true);
	/* They are somebody's while more may come, and nothing is freed. */
	assert_true(fixture_ask(f, "PRAGMA freelist_count") < 16);
	assert_true(fixture_ask(f, "SELECT count(*) FROM buried_chunks") > 0);
	assert_int_equal(store_sqlite.expire(e, 100), 0);
	assert_true(fixture_ask(f, "PRAGMA freelist_count") < 16);
	for (int i = 0; i < 100 && fixture_ask(f, "PRAGMA freelist_count") < free_pages - 16; i++) {
		usleep(100000);
		assert_int_equal(store_sqlite.expire(e, 100), 0);
	}
	/* But for a few that were not worth it. */
	assert_true(fixture_ask(f, "PRAGMA freelist_count") >= free_pages - 16);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM buried_chunks"), 0);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM chunk_pieces"), pieces + 1);
	/* And so they are where they are asked for at once. */
	put(e, seal + 1, STAYING, true);
	assert_true(fixture_ask(f, "PRAGMA freelist_count") < 16);
	assert_int_equal(store_sqlite.settle(e), 0);
	assert_true(fixture_ask(f, "PRAGMA freelist_count") >= free_pages - 16);
	put(e, seal + 2, STAYING, true);
	store_sqlite.close(e);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM buried_chunks"), 0);
}

/* Whoever drops wants the disk's space, and has it. */
static void test_dropping_does_not_wait(void **state)
{
	struct fixture *f = *state;
	struct sqlite_engine *e = open_alone(f);
	struct stat before, after;
	uint64_t gone = 0;
	int64_t seal = 0;
	make_holes(e, &seal);
	put(e, seal, STAYING, true);
	assert_int_equal(sqlite_empty_log(e), 0);
	assert_int_equal(stat(f->path, &before), 0);
	assert_int_equal(store_sqlite.drop(e, STORE_TIER_RAW, INT64_MAX, UINT64_MAX, &gone), 0);
	assert_int_equal(gone, SMALLS / 2 * SMALL + STAYING);
	assert_int_equal(stat(f->path, &after), 0);
	assert_true(before.st_size - after.st_size >= (off_t)gone);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM chunk_pieces"), 0);
	store_sqlite.close(e);
}

/* What was taken out of the way when a process died is free in the next. */
static void test_a_death_leaves_no_rubbish(void **state)
{
	struct fixture *f = *state;
	int status;
	store_close(f->store);
	f->store = NULL;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		void *engine = NULL;
		char *line = NULL;
		int64_t seal = 0;
		if (store_sqlite.open(f->path, &engine, &line) < 0)
			_exit(1);
		make_holes(engine, &seal);
		put(engine, seal, STAYING, true);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_true(fixture_ask(f, "SELECT count(*) FROM buried_chunks") > 0);
	fixture_open(f);
	assert_int_equal(store_settle(f->store), 0);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM buried_chunks"), 0);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM chunk_pieces"), SMALLS / 2 + 1);
	assert_true(fixture_ask(f, "PRAGMA freelist_count") > SMALLS / 4);
}

static void test_spare_pages(void **state)
{
	(void)state;
	struct sqlite_spare s = {0};
	uint64_t now = 5 * SECOND_NS;
	/* What is free now may be wanted within the day. */
	assert_int_equal(sqlite_spare_pages(&s, now, 4000, 10000), 0);
	assert_int_equal(sqlite_spare_pages(&s, now + SECOND_NS, 3000, 10000), 0);
	assert_int_equal(sqlite_spare_pages(&s, now + 2 * SECOND_NS, 4500, 10000), 0);
	/* What was not is too much, and is not given twice. */
	assert_int_equal(sqlite_spare_pages(&s, now + DAY_NS, 4500, 10000), 3000);
	assert_int_equal(sqlite_spare_pages(&s, now + DAY_NS + SECOND_NS, 4500, 10000), 3000);
	assert_int_equal(sqlite_spare_pages(&s, now + DAY_NS + 2 * SECOND_NS, 2000, 10000), 2000);
	assert_int_equal(sqlite_spare_pages(&s, now + DAY_NS + 3 * SECOND_NS, 4500, 10000), 2000);
	/* A sixteenth and a megabyte stay. */
	assert_int_equal(sqlite_spare_pages(&s, now + DAY_NS + 4 * SECOND_NS, 625, 10000), 0);
	assert_int_equal(sqlite_spare_pages(&s, now + 2 * DAY_NS + DAY_NS, 256, 600), 0);
	/* More than half goes at once. */
	s = (struct sqlite_spare){0};
	assert_int_equal(sqlite_spare_pages(&s, now, 70000, 100000), 20000);
	assert_int_equal(sqlite_spare_pages(&s, now, 50000, 100000), 0);
	/* But for 64 MiB. */
	assert_int_equal(sqlite_spare_pages(&s, now, 16384, 20000), 0);
	assert_int_equal(sqlite_spare_pages(&s, now, 16400, 20000), 16);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(test_what_stays_lies_together),  WITH_STORE(test_what_goes_lies_apart),
		WITH_STORE(test_holes_are_filled_again),    WITH_STORE(test_dropping_does_not_wait),
		WITH_STORE(test_a_death_leaves_no_rubbish), cmocka_unit_test(test_spare_pages),
	};
	if (fixture_on_postgres())
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
