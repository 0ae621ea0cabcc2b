/* Chunks as only PostgreSQL has them: partitions, several backends, sessions that end. Run by tests/integration/store
 * against a real server. */
#include "fixture.h"

#include "backend/store/store_ops.h"
#include "common/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char end_sessions[] = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE"
				   " application_name = 'sonde-backend' AND datname = current_database()";

/* Days before this one; the writer makes others when it is idle. */
static int64_t days_of(const struct fixture *f)
{
	char sql[256];
	snprintf(sql, sizeof(sql),
		 "SELECT count(*) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent ="
		 " 'sonde.compacted_raw'::regclass AND relname < 'compacted_raw_%lld'",
		 (long long)(clock_wall_us() / FIXTURE_DAY_US));
	return fixture_ask(f, sql);
}

static int64_t parts_of(const struct fixture *f, const char *table)
{
	char sql[256];
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM pg_inherits WHERE inhparent = 'sonde.%s'::regclass", table);
	return fixture_ask(f, sql);
}

static int64_t rows_of(const struct fixture *f, const char *table)
{
	char sql[128];
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
	return fixture_ask(f, sql);
}

static void close_store(struct fixture *f)
{
	store_close(f->store);
	f->store = NULL;
}

static void *open_engine(struct fixture *f)
{
	void *engine = NULL;
	char *line = NULL;
	close_store(f);
	assert_int_equal(store_postgres.open(f->url, &engine, &line), 0);
	return engine;
}

/* An hour goes when the last host is sealed beyond what it has there, and not before. */
static void test_hours_of_sealed_rows_go_whole(void **state)
{
	struct fixture *f = *state;
	void *engine = open_engine(f);
	int64_t hour = clock_wall_us() / FIXTURE_HOUR_US * FIXTURE_HOUR_US;
	fixture_append_received(engine, host_a, 1, hour - 3 * FIXTURE_HOUR_US + 1);
	fixture_append_received(engine, host_b, 1, hour - 3 * FIXTURE_HOUR_US + 2);
	fixture_append_received(engine, host_a, 2, hour - 2 * FIXTURE_HOUR_US + 1);
	fixture_append_received(engine, host_a, 3, hour + 1);
	assert_int_equal(parts_of(f, "hot"), 5);
	assert_int_equal(store_postgres.expire(engine, 100), 0);
	struct store_usage usage;
	assert_int_equal(store_postgres.usage(engine, &usage), 0);
	assert_int_equal(usage.rows, 4);
	assert_true(usage.row_bytes > 0 && usage.row_bytes <= usage.total_bytes);
	assert_int_equal(store_postgres.seal(engine, host_a, INT64_MIN, hour - FIXTURE_HOUR_US, 2, NULL, NULL, 0), 0);
	assert_int_equal(store_postgres.usage(engine, &usage), 0);
	assert_int_equal(usage.rows, 2);
	assert_int_equal(store_postgres.expire(engine, 100), 1);
	assert_int_equal(rows_of(f, "hot"), 3);
	/* b sealed beyond its row, though not to the end of the hour. */
	assert_int_equal(
		store_postgres.seal(engine, host_b, INT64_MIN, hour - 3 * FIXTURE_HOUR_US + 2, 1, NULL, NULL, 0), 0);
	assert_int_equal(store_postgres.expire(engine, 100), 1);
	assert_int_equal(rows_of(f, "hot"), 1);
	/* One that comes late says the first moment that is not sealed, in an hour that may have gone. */
	fixture_append_received(engine, host_b, 2, hour - 5 * FIXTURE_HOUR_US);
	assert_int_equal(fixture_ask(f, "SELECT max(received_us - sealed_us) FROM hot JOIN hosts USING (host) WHERE"
					" hostname = 'b'"),
			 1);
	assert_int_equal(store_postgres.expire(engine, 100), 0);
	/* What is still there is not sealed even when this hour is over. */
	assert_int_equal(store_postgres.seal(engine, host_a, hour - FIXTURE_HOUR_US, hour + 1, 1, NULL, NULL, 0), 0);
	assert_int_equal(store_postgres.expire(engine, 100), 0);
	store_postgres.close(engine);
}

static void test_sealed_parts_go_when_all_is_compacted(void **state)
{
	struct fixture *f = *state;
	void *engine = open_engine(f), *view = NULL;
	int64_t hour = clock_wall_us() / FIXTURE_HOUR_US * FIXTURE_HOUR_US;
	struct store_chunk chunks[3], *old = NULL;
	size_t n = 0;
	for (int i = 0; i < 3; i++)
		chunks[i] = fixture_raw_chunk(hour - (i + 1) * FIXTURE_HOUR_US, false);
	assert_int_equal(store_postgres.replace(engine, host_a, NULL, 0, chunks, 3), 0);
	assert_int_equal(parts_of(f, "sealed_raw"), 1 + 3);
	/* Its day, which soon after midnight is yesterday: a part cannot be made while a view stands. */
	struct store_chunk whole = fixture_raw_chunk(hour - 3 * FIXTURE_HOUR_US, true);
	assert_int_equal(store_postgres.replace(engine, host_b, NULL, 0, &whole, 1), 0);
	assert_int_equal(store_postgres.expire(engine, 100), 0);
	assert_int_equal(parts_of(f, "sealed_raw"), 1 + 3 + 3); /* those to come were made */
	assert_int_equal(store_postgres.view_open(engine, true, &view), 0);
	assert_int_equal(store_postgres.view_chunks(view, host_a, STORE_TIER_RAW, 0, INT64_MIN, INT64_MAX, &old, &n),
			 0);
	assert_int_equal(n, 3);
	assert_int_equal(store_postgres.replace(engine, host_a, old, 2, &whole, 1), 0);
	/* A view stands between. */
	assert_int_equal(store_postgres.expire(engine, 100), 0);
	store_postgres.view_close(view);
	assert_int_equal(store_postgres.expire(engine, 100), 2);
	assert_int_equal(parts_of(f, "sealed_raw"), 1 + 1 + 3);
	assert_int_equal(rows_of(f, "sealed_raw"), 1);
	assert_int_equal(rows_of(f, "compacted_raw"), 2);
	free(old);
	store_postgres.close(engine);
}

static void test_whole_days_are_dropped(void **state)
{
	struct fixture *f = *state;
	int64_t day = clock_wall_us() / FIXTURE_DAY_US * FIXTURE_DAY_US;
	struct store_chunk chunks[4];
	uint64_t bytes = 0;
	for (int i = 0; i < 4; i++)
		chunks[i] = fixture_raw_chunk(day - (4 - i) * FIXTURE_DAY_US, true);
	assert_int_equal(store_replace(f->store, host_a, NULL, 0, chunks, 4), 0);
	assert_int_equal(store_replace(f->store, host_b, NULL, 0, chunks, 4), 0);
	chunks[0].first_us = chunks[0].last_us += FIXTURE_HOUR_US;
	assert_int_equal(store_replace(f->store, host_b, NULL, 0, chunks, 1), 0);
	assert_int_equal(days_of(f), 4);
	/* Of the first day a part is due: these are deleted. */
	assert_int_equal(
		store_drop(f->store, STORE_TIER_RAW, day - 4 * FIXTURE_DAY_US + FIXTURE_HOUR_US, UINT64_MAX, &bytes),
		0);
	assert_int_equal(bytes, 2 * chunks[0].len);
	assert_int_equal(days_of(f), 4);
	assert_int_equal(rows_of(f, "compacted_raw"), 7);
	/* A view keeps what it sees. */
	struct store_view *view;
	assert_int_equal(store_view_open(f->store, &view), 0);
	assert_int_equal(store_drop(f->store, STORE_TIER_RAW, day - 2 * FIXTURE_DAY_US, UINT64_MAX, &bytes), -EBUSY);
	struct store_chunk *found = NULL;
	assert_int_equal(fixture_raw_chunks(view, host_b, &found), 4);
	free(found);
	store_view_close(view);
	assert_int_equal(store_drop(f->store, STORE_TIER_RAW, day - 2 * FIXTURE_DAY_US, UINT64_MAX, &bytes), 0);
	assert_int_equal(bytes, 3 * chunks[0].len);
	assert_int_equal(days_of(f), 2);
	/* By size: the oldest day is more than enough. */
	assert_int_equal(store_drop(f->store, STORE_TIER_RAW, INT64_MAX, 1, &bytes), 0);
	assert_int_equal(bytes, 2 * chunks[0].len);
	assert_int_equal(days_of(f), 1);
	assert_int_equal(rows_of(f, "compacted_raw"), 2);
	/* What comes for a day that has gone finds a place, and is found. */
	assert_int_equal(store_replace(f->store, host_a, NULL, 0, &chunks[1], 1), 0);
	assert_int_equal(store_view_open(f->store, &view), 0);
	assert_int_equal(fixture_raw_chunks(view, host_a, &found), 2);
	free(found);
	store_view_close(view);
}

/* Clocks that are wrong by years make no partitions. */
static void test_there_is_no_end_of_days(void **state)
{
	struct fixture *f = *state;
	struct store_chunk *found = NULL;
	struct store_view *view;
	int64_t now = clock_wall_us();
	for (int i = 0; i < 20; i++) {
		struct store_chunk chunks[] = {
			fixture_raw_chunk(i * FIXTURE_DAY_US, true),
			fixture_raw_chunk(now + (i + 3) * FIXTURE_DAY_US, true),
			fixture_raw_chunk(now + (i + 3) * FIXTURE_DAY_US, false),
			fixture_raw_chunk(INT64_MAX / FIXTURE_DAY_US * FIXTURE_DAY_US - 2 * i * FIXTURE_DAY_US, true),
			fixture_raw_chunk(INT64_MIN / FIXTURE_DAY_US * FIXTURE_DAY_US + 2 * i * FIXTURE_DAY_US +
						  FIXTURE_DAY_US,
					  true)};
		chunks[4].window_us = chunks[4].first_us;
		assert_int_equal(store_replace(f->store, host_a, NULL, 0, chunks, 5), 0);
	}
	assert_true(parts_of(f, "compacted_raw") <= 3 && parts_of(f, "sealed_raw") <= 4);
	assert_int_equal(store_view_open(f->store, &view), 0);
	assert_int_equal(fixture_raw_chunks(view, host_a, &found), 100);
	for (size_t i = 0; i < 100; i++) {
		uint8_t bytes[10];
		assert_int_equal(store_view_read(view, &found[i], 0, 10, bytes), 0);
		assert_memory_equal(bytes, "some bytes", 10);
	}
	free(found);
	store_view_close(view);
	/* A chunk that does not lie in its window would not be found. */
	struct store_chunk wrong = fixture_raw_chunk(now, true);
	wrong.window_us = wrong.last_us + 1;
	assert_int_equal(store_replace(f->store, host_a, NULL, 0, &wrong, 1), -EINVAL);
	wrong.window_us = wrong.last_us - FIXTURE_DAY_US - 1;
	assert_int_equal(store_replace(f->store, host_a, NULL, 0, &wrong, 1), -EINVAL);
	/* They are forgotten like others. */
	uint64_t bytes = 0;
	assert_int_equal(store_drop(f->store, STORE_TIER_RAW, INT64_MAX, UINT64_MAX, &bytes), 0);
	assert_int_equal(bytes, 100 * fixture_raw_chunk(0, true).len);
}

/* A day whose chunks came when its partition could not be made yet: they stay among the rest, and so do the others. */
static void test_a_part_that_cannot_be_parted(void **state)
{
	struct fixture *f = *state;
	int64_t now = clock_wall_us();
	struct store_chunk chunk = fixture_raw_chunk(now, true), *found = NULL;
	char sql[256];
	snprintf(sql, sizeof(sql), "INSERT INTO compacted_raw SELECT host, -1, 0, %lld, %lld, %lld, 0, 'x' FROM hosts",
		 (long long)chunk.window_us, (long long)chunk.first_us, (long long)chunk.last_us);
	fixture_ask(f, sql);
	assert_int_equal(rows_of(f, "compacted_raw_rest"), 2);
	assert_int_equal(store_replace(f->store, host_a, NULL, 0, &chunk, 1), 0);
	assert_int_equal(store_replace(f->store, host_a, NULL, 0, &chunk, 1), 0);
	assert_int_equal(rows_of(f, "compacted_raw_rest"), 4);
	struct store_view *view;
	assert_int_equal(store_view_open(f->store, &view), 0);
	assert_int_equal(fixture_raw_chunks(view, host_a, &found), 3);
	free(found);
	store_view_close(view);
}

enum { BACKENDS = 3, SNAPSHOTS = 100 };

struct sealing {
	struct store *store;
	atomic_bool *written;
	unsigned won, lost, other;
};

static int count_row(void *arg, const struct store_row *row)
{
	(void)row;
	(*(uint64_t *)arg)++;
	return 0;
}

static void *seal_all(void *arg)
{
	struct sealing *s = arg;
	for (bool last = false; !last;) {
		struct store_unsealed *unsealed = NULL;
		struct store_view *view;
		size_t n = 0;
		uint64_t rows = 0;
		int64_t was_us = INT64_MIN;
		last = atomic_load(s->written);
		if (store_unsealed(s->store, &unsealed, &n) < 0 || store_view_open(s->store, &view) < 0)
			return s;
		for (size_t i = 0; i < n; i++)
			was_us = memcmp(unsealed[i].host_id, host_a, 16) == 0 ? unsealed[i].sealed_us : was_us;
		int r = store_view_rows(view, host_a, INT64_MIN, INT64_MAX, false, count_row, &rows);
		store_view_close(view);
		free(unsealed);
		struct store_chunk chunk = fixture_raw_chunk(clock_wall_us(), false);
		if (r == 0 && rows > 0) {
			r = store_seal(s->store, host_a, was_us, clock_wall_us(), rows, NULL, &chunk, 1);
			s->won += r == 0;
			s->lost += r == -ESTALE;
		}
		s->other += r != 0 && r != -ESTALE;
	}
	return NULL;
}

/* Of several backends that seal the same rows one wins; a chunk for each time one did, and no row is left out. */
static void test_several_backends_seal_one_host(void **state)
{
	struct fixture *f = *state;
	struct sealing sealing[BACKENDS] = {0};
	pthread_t threads[BACKENDS];
	char *line = NULL;
	unsigned won = 0, lost = 0;
	atomic_bool written = false;
	for (int i = 0; i < BACKENDS; i++) {
		sealing[i].written = &written;
		assert_int_equal(store_open(f->url, &sealing[i].store, &line), 0);
		assert_int_equal(pthread_create(&threads[i], NULL, seal_all, &sealing[i]), 0);
	}
	for (uint64_t i = 1; i <= SNAPSHOTS; i++)
		assert_int_equal(append_one(f->store, host_a, run_1, i, "x"), STORE_ACCEPTED);
	atomic_store(&written, true);
	for (int i = 0; i < BACKENDS; i++) {
		void *failed = NULL;
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
		assert_int_equal(sealing[i].other, 0);
		won += sealing[i].won;
		lost += sealing[i].lost;
		store_close(sealing[i].store);
	}
	print_message("%u seals, %u were too late\n", won, lost);
	assert_true(won > 1);
	assert_int_equal(rows_of(f, "sealed_raw"), won);
	assert_int_equal(fixture_ask(f, "SELECT count(DISTINCT id) FROM sealed_raw"), won);
	assert_int_equal(fixture_ask(f, "SELECT sealed_rows - (SELECT count(*) FROM hot WHERE hot.host = hosts.host AND"
					" received_us <= sealed_us) FROM hosts WHERE hostname = 'a'"),
			 0);
	assert_durable(f->store, host_a, run_1, "1-100");
}

static void test_one_leads(void **state)
{
	struct fixture *f = *state;
	struct store *other = NULL;
	char *line = NULL;
	assert_int_equal(store_open(f->url, &other, &line), 0);
	assert_int_equal(store_lead(f->store), 1);
	assert_int_equal(store_lead(other), 0);
	assert_int_equal(store_lead(f->store), 1);
	assert_int_equal(store_lead(other), 0);
	close_store(f);
	fixture_open(f);
	assert_int_equal(store_lead(other), 1);
	assert_int_equal(store_lead(f->store), 0);
	/* Its session ends: it is told at the next question, whoever asks first leads. */
	assert_true(fixture_ask(f, end_sessions) >= 2);
	assert_int_equal(store_lead(f->store), 1);
	assert_int_equal(store_lead(other), 0);
	store_close(other);
}

/* Who asks first does not wait for a session. */
static void test_the_first_view_is_connected(void **state)
{
	static const char sessions[] = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sonde-backend'"
				       " AND datname = current_database()";
	struct fixture *f = *state;
	void *engine = open_engine(f), *first, *second;
	/* With the writer's. Those of the store before it take a moment to end. */
	for (int i = 0; i < 1000 && fixture_ask(f, sessions) != 2; i++)
		usleep(10000);
	assert_int_equal(fixture_ask(f, sessions), 2);
	assert_int_equal(store_postgres.view_open(engine, true, &first), 0);
	assert_int_equal(fixture_ask(f, sessions), 2);
	assert_int_equal(store_postgres.view_open(engine, false, &second), 0);
	assert_int_equal(fixture_ask(f, sessions), 3);
	store_postgres.view_close(first);
	store_postgres.view_close(second);
	store_postgres.close(engine);
	fixture_open(f);
}

static void test_a_view_whose_session_ends(void **state)
{
	struct fixture *f = *state;
	struct store_chunk chunk = fixture_raw_chunk(clock_wall_us(), true), *found = NULL;
	struct store_view *view;
	uint8_t bytes[4];
	assert_int_equal(store_replace(f->store, host_a, NULL, 0, &chunk, 1), 0);
	assert_int_equal(store_view_open(f->store, &view), 0);
	assert_int_equal(fixture_raw_chunks(view, host_a, &found), 1);
	assert_true(fixture_ask(f, end_sessions) >= 1);
	assert_int_equal(store_view_read(view, found, 0, 4, bytes), -ENOTCONN);
	/* Another connection would see another state. */
	assert_int_equal(store_view_read(view, found, 0, 4, bytes), -ENOTCONN);
	store_view_close(view);
	free(found);
	/* All others that wait to be lent are dead as well. */
	assert_int_equal(store_replace(f->store, host_a, NULL, 0, &chunk, 1), 0);
	assert_int_equal(store_view_open(f->store, &view), 0);
	assert_int_equal(fixture_raw_chunks(view, host_a, &found), 2);
	assert_int_equal(store_view_read(view, found, 5, 4, bytes), 0);
	assert_memory_equal(bytes, "byte", 4);
	store_view_close(view);
	free(found);
}

/* As many views as there are connections for; who holds one may ask other things. */
static void test_views_do_not_use_up_the_links(void **state)
{
	struct fixture *f = *state;
	struct store_view *views[4];
	for (int i = 0; i < 4; i++)
		assert_int_equal(store_view_open(f->store, &views[i]), 0);
	assert_int_equal(store_user_count(f->store), 0);
	assert_int_equal(append_one(f->store, host_a, run_1, 1, "x"), STORE_ACCEPTED);
	for (int i = 0; i < 4; i++)
		store_view_close(views[i]);
}

/* A database of the version before this one: its rows are there afterwards, and not sealed. */
static void test_rows_survive_the_migration(void **state)
{
	struct fixture *f = *state;
	struct store_unsealed *unsealed = NULL;
	size_t n = 0;
	for (uint64_t i = 1; i <= 5; i++)
		assert_int_equal(append_one(f->store, host_a, run_1, i, "x"), STORE_ACCEPTED);
	assert_int_equal(append_one(f->store, host_b, run_1, 1, "x"), STORE_ACCEPTED);
	close_store(f);
	fixture_ask(f, "DROP TABLE sealed_raw, compacted_raw, sealed_processes, compacted_processes, sealed_minute,"
		       " compacted_minute, latest; DROP SEQUENCE chunk_ids; ALTER TABLE hosts DROP sealed_us, DROP"
		       " sealed_rows; DELETE FROM hot WHERE sequence = 2; UPDATE schema_version SET version = 1");
	fixture_open(f);
	assert_int_equal(fixture_ask(f, "SELECT version FROM schema_version"), 2);
	assert_int_equal(rows_of(f, "hot"), 5);
	assert_int_equal(store_unsealed(f->store, &unsealed, &n), 0);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(unsealed[i].rows, memcmp(unsealed[i].host_id, host_a, 16) == 0 ? 4 : 1);
		assert_true(unsealed[i].sealed_us == INT64_MIN);
	}
	free(unsealed);
	assert_int_equal(store_seal(f->store, host_a, INT64_MIN, clock_wall_us(), 4, NULL, NULL, 0), 0);
	assert_int_equal(store_unsealed(f->store, &unsealed, &n), 0);
	assert_int_equal(n, 1);
	free(unsealed);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(test_hours_of_sealed_rows_go_whole),
		WITH_STORE(test_sealed_parts_go_when_all_is_compacted),
		WITH_STORE(test_whole_days_are_dropped),
		WITH_STORE(test_there_is_no_end_of_days),
		WITH_STORE(test_a_part_that_cannot_be_parted),
		WITH_STORE(test_several_backends_seal_one_host),
		WITH_STORE(test_one_leads),
		WITH_STORE(test_the_first_view_is_connected),
		WITH_STORE(test_a_view_whose_session_ends),
		WITH_STORE(test_views_do_not_use_up_the_links),
		WITH_STORE(test_rows_survive_the_migration),
	};
	if (!fixture_on_postgres()) {
		print_message(
			"SONDE_TEST_STORE names no PostgreSQL: tests/integration/store/test_engines.py starts one\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
