/* What becomes of chunks when PostgreSQL's disk is damaged or full. Run by tests/integration/store against a real
 * server. */
#include "fixture.h"

#include "common/clock.h"
#include "tests/unit/backend/store/database.h"

#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static void ask_text(const struct fixture *f, const char *sql, char *text, size_t size)
{
	PGconn *conn = database_connect(f->url);
	PGresult *result = PQexec(conn, sql);
	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
		fail_msg("%s: %s", sql, PQerrorMessage(conn));
	snprintf(text, size, "%s", PQgetvalue(result, 0, 0));
	PQclear(result);
	PQfinish(conn);
}

/* Moves a table to a new file, which the server has read nothing of yet, and writes over one page of its data. */
static void damage(const struct fixture *f, const char *table, unsigned page)
{
	char sql[512], path[512];
	snprintf(sql, sizeof(sql), "ALTER TABLE sonde.%s SET TABLESPACE elsewhere", table);
	fixture_ask(f, sql);
	snprintf(sql, sizeof(sql),
		 "SELECT current_setting('data_directory') || '/' || pg_relation_filepath(reltoastrelid) FROM pg_class"
		 " WHERE oid = 'sonde.%s'::regclass",
		 table);
	ask_text(f, sql, path, sizeof(path));
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	uint8_t garbage[8192];
	memset(garbage, 0xa5, sizeof(garbage));
	assert_int_equal(pwrite(fd, garbage, sizeof(garbage), (off_t)page * 8192), sizeof(garbage));
	assert_int_equal(close(fd), 0);
}

static void test_a_damaged_page_costs_that_read(void **state)
{
	struct fixture *f = *state;
	enum { LEN = 200000 };
	uint8_t *data = malloc(LEN), *got = malloc(LEN);
	assert_non_null(data);
	assert_non_null(got);
	for (size_t i = 0; i < LEN; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 11);
	int64_t now = clock_wall_us();
	for (int i = 0; i < 3; i++) {
		struct store_chunk chunk = fixture_raw_chunk(now + i, true);
		chunk.data = data;
		chunk.len = LEN;
		assert_int_equal(store_replace(f->store, host_a, NULL, 0, &chunk, 1), 0);
	}
	char table[64];
	fixture_ask(f, "CHECKPOINT");
	ask_text(f, "SELECT tableoid::regclass::text FROM sonde.compacted_raw LIMIT 1", table, sizeof(table));
	if (fixture_ask(f, "SELECT count(*) FROM pg_tablespace WHERE spcname = 'elsewhere'") == 0) {
		fixture_ask(f, "ALTER SYSTEM SET allow_in_place_tablespaces = on");
		fixture_ask(f, "SELECT pg_reload_conf()");
		usleep(200000);
		fixture_ask(f, "CREATE TABLESPACE elsewhere LOCATION ''");
	}
	/* A chunk is 101 pieces, four of them in a page: this is in the middle of the second. */
	damage(f, strrchr(table, '.') ? strrchr(table, '.') + 1 : table, 37);
	struct store_chunk *found = NULL;
	struct store_view *view;
	assert_int_equal(store_view_open(f->store, &view), 0);
	assert_int_equal(fixture_raw_chunks(view, host_a, &found), 3);
	unsigned damaged = 0;
	for (int i = 0; i < 3; i++) {
		int r = store_view_read(view, &found[i], 0, LEN, got);
		assert_true(r == 0 || (r == -EUCLEAN && i == 1));
		if (r == 0)
			assert_memory_equal(got, data, LEN);
		for (size_t at = 0; at < LEN; at += 5000) {
			r = store_view_read(view, &found[i], at, 5000, got);
			assert_true(r == 0 || (r == -EUCLEAN && i == 1));
			damaged += r != 0;
			if (r == 0)
				assert_memory_equal(got, data + at, 5000);
		}
	}
	store_view_close(view);
	print_message("%u of 120 reads met the page\n", damaged);
	assert_true(damaged >= 1 && damaged <= 4);
	/* It can be forgotten like others. */
	uint64_t bytes = 0;
	assert_int_equal(store_drop(f->store, STORE_TIER_RAW, INT64_MAX, UINT64_MAX, &bytes), 0);
	assert_int_equal(bytes, 3 * LEN);
	fixture_ask(f, "DROP TABLESPACE elsewhere");
	free(found);
	free(data);
	free(got);
}

/* The fixture's URL with another database. */
static void make_url(const struct fixture *f, const char *database, char *out, size_t size)
{
	const char *query = strchr(f->url, '?');
	assert_non_null(query);
	snprintf(out, size, "postgresql://postgres@/%s%s", database, query);
}

/* A chunk into the partition of one day after the other, until nothing more fits. */
static void fill_disk(struct store *store, const uint8_t *data, size_t len, int64_t day, int *ret_days)
{
	int r = 0;
	for (*ret_days = 0; r == 0; ++*ret_days) {
		assert_true(*ret_days < 100);
		struct store_chunk chunk = fixture_raw_chunk(day - (100 - *ret_days) * FIXTURE_DAY_US, true);
		chunk.data = data;
		chunk.len = len;
		r = store_replace(store, host_a, NULL, 0, &chunk, 1);
	}
	--*ret_days;
	assert_int_equal(r, -ENOSPC);
}

static void test_a_full_disk(void **state)
{
	struct fixture *f = *state;
	enum { LEN = 1 << 20, DROPPED = 8 }; /* the writer makes partitions meanwhile, which want room too */
	const struct passwd *user = getpwnam("postgres");
	char sql[256], url[512], *line = NULL;
	struct store *store = NULL;
	if (geteuid() != 0 || !user || mount("sonde-full", f->directory, "tmpfs", 0, "size=48m,mode=700") < 0) {
		print_message("a small disk cannot be mounted: %s\n", strerror(errno));
		skip();
	}
	assert_int_equal(chown(f->directory, user->pw_uid, user->pw_gid), 0);
	snprintf(sql, sizeof(sql), "CREATE TABLESPACE small LOCATION '%s'", f->directory);
	fixture_ask(f, sql);
	fixture_ask(f, "CREATE DATABASE small TABLESPACE small");
	make_url(f, "small", url, sizeof(url));
	assert_int_equal(store_open(url, &store, &line), 0);
	register_host(store, host_a, "a");
	fixture_ask(f, "CHECKPOINT"); /* a new database has holes until then, which nothing fits into afterwards */

	uint8_t *data = malloc(LEN), *got = malloc(LEN);
	assert_non_null(data);
	assert_non_null(got);
	for (size_t i = 0; i < LEN; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 11);
	int64_t day = clock_wall_us() / FIXTURE_DAY_US * FIXTURE_DAY_US;
	int days = 0;
	fill_disk(store, data, LEN, day, &days);
	print_message("full after %d days\n", days);
	/* The oldest goes, and there is room again. */
	uint64_t bytes = 0;
	assert_int_equal(store_drop(store, STORE_TIER_RAW, INT64_MAX, DROPPED * LEN, &bytes), 0);
	assert_int_equal(bytes, DROPPED * LEN);
	struct store_chunk chunk = fixture_raw_chunk(day, true);
	chunk.data = data;
	chunk.len = LEN;
	for (int i = 0; i < 2; i++)
		assert_int_equal(store_replace(store, host_a, NULL, 0, &chunk, 1), 0);
	assert_int_equal(append_one(store, host_a, run_1, 1, "x"), STORE_ACCEPTED);
	struct store_chunk *found = NULL;
	struct store_view *view;
	assert_int_equal(store_view_open(store, &view), 0);
	size_t n = fixture_raw_chunks(view, host_a, &found);
	assert_int_equal(n, days - DROPPED + 2);
	assert_true(found[0].first_us == day - (100 - DROPPED) * FIXTURE_DAY_US);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(store_view_read(view, &found[i], 0, LEN, got), 0);
		assert_memory_equal(got, data, LEN);
	}
	store_view_close(view);
	store_close(store);
	free(found);
	free(data);
	free(got);
}

/* A server that finds a tablespace's files gone would not start again. */
static int teardown_small_disk(void **state)
{
	struct fixture *f = *state;
	fixture_ask(f, "DROP DATABASE IF EXISTS small WITH (FORCE)");
	fixture_ask(f, "DROP TABLESPACE IF EXISTS small");
	if (umount2(f->directory, MNT_DETACH) < 0 && errno != EINVAL)
		return -1;
	return fixture_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_damaged_page_costs_that_read, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_a_full_disk, fixture_setup, teardown_small_disk),
	};
	if (!fixture_on_postgres()) {
		print_message(
			"SONDE_TEST_STORE names no PostgreSQL: tests/integration/store/test_engines.py starts one\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
