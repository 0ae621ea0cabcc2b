#include "fixture.h"

#include "backend/store/store_ops.h"
#include "common/clock.h"
#include "tests/unit/backend/store/database.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const uint8_t host_a[16] = "host-a", host_b[16] = "host-b", run_1[16] = "run-1", run_2[16] = "run-2";

void fixture_open(struct fixture *f)
{
	char *error = NULL;
	int result = store_open(f->url, &f->store, &error);
	if (result < 0)
		fail_msg("store_open: %d %s", result, error ? error : "");
}

void fixture_reopen(struct fixture *f)
{
	store_close(f->store);
	f->store = NULL;
	fixture_open(f);
}

bool fixture_on_postgres(void)
{
	return getenv("SONDE_TEST_STORE") != NULL;
}

static int64_t ask_postgres(const char *url, const char *sql)
{
	PGconn *conn = database_connect(url);
	PGresult *result = PQexec(conn, "SET search_path = sonde; SET client_min_messages = warning");
	PQclear(result);
	result = PQexec(conn, sql);
	ExecStatusType status = PQresultStatus(result);
	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		fail_msg("%s: %s", sql, PQerrorMessage(conn));
	int64_t value = PQntuples(result) > 0 ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : 0;
	PQclear(result);
	PQfinish(conn);
	return value;
}

static int64_t ask_sqlite(const char *path, const char *sql)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *q = NULL;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000); /* the writer may be at its retention step */
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
	int rc = sqlite3_step(q);
	int64_t value = rc == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_finalize(q);
	sqlite3_close(db);
	return value;
}

int64_t fixture_ask(const struct fixture *f, const char *sql)
{
	return f->is_postgres ? ask_postgres(f->url, sql) : ask_sqlite(f->path, sql);
}

void fixture_settle(const struct fixture *f)
{
	static const char sessions[] = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sonde-backend'"
				       " AND datname = current_database()";
	for (int i = 0; f->is_postgres && fixture_ask(f, sessions) > 0; i++) {
		assert_true(i < 1000);
		usleep(10000);
	}
}

int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	snprintf(f->directory, sizeof(f->directory), "/tmp/sonde-store-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->path, sizeof(f->path), "%s/s.db", f->directory);
	f->is_postgres = fixture_on_postgres();
	if (f->is_postgres) {
		snprintf(f->url, sizeof(f->url), "%s", getenv("SONDE_TEST_STORE"));
		fixture_ask(f, "DROP SCHEMA IF EXISTS sonde CASCADE");
	} else {
		snprintf(f->url, sizeof(f->url), "sqlite:%s", f->path);
	}
	fixture_open(f);
	register_host(f->store, host_a, "a");
	register_host(f->store, host_b, "b");
	*state = f;
	return 0;
}

void fixture_remove(const char *directory)
{
	DIR *dir = opendir(directory);
	for (struct dirent *e; dir && (e = readdir(dir));) {
		char path[512];
		snprintf(path, sizeof(path), "%s/%s", directory, e->d_name);
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && unlink(path) < 0)
			fixture_remove(path);
	}
	if (dir)
		closedir(dir);
	if (rmdir(directory) < 0)
		perror(directory);
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	store_close(f->store);
	fixture_remove(f->directory);
	free(f);
	return 0;
}

int fixture_setup_as_it_is(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	f->is_postgres = true;
	snprintf(f->url, sizeof(f->url), "%s", getenv("SONDE_TEST_STORE"));
	fixture_open(f);
	*state = f;
	return 0;
}

int fixture_teardown_as_it_is(void **state)
{
	struct fixture *f = *state;
	store_close(f->store);
	free(f);
	return 0;
}

void waiter_init(struct waiter *w)
{
	memset(w, 0, sizeof(*w));
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->changed, NULL);
}

void waiter_done(void *arg, int error, const enum store_fate *fates, size_t n)
{
	struct waiter *w = arg;
	pthread_mutex_lock(&w->lock);
	w->calls++;
	w->error = error;
	w->n = n;
	for (size_t i = 0; fates && i < n && i < sizeof(w->fates) / sizeof(*w->fates); i++)
		w->fates[i] = fates[i];
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

void waiter_wait(struct waiter *w, size_t calls, unsigned seconds)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += seconds;
	int error = 0;
	pthread_mutex_lock(&w->lock);
	while (w->calls < calls && error == 0)
		error = pthread_cond_timedwait(&w->changed, &w->lock, &until);
	size_t had = w->calls;
	pthread_mutex_unlock(&w->lock);
	if (had < calls)
		fail_msg("%zu of %zu appends finished in %u s", had, calls, seconds);
}

void register_host(struct store *store, const uint8_t host_id[16], const char *hostname)
{
	struct store_host host = {
		.tenant_id = STORE_TENANT_DEFAULT, .key_id = 1, .first_seen_us = 1, .last_seen_us = 2};
	memcpy(host.host_id, host_id, sizeof(host.host_id));
	snprintf(host.hostname, sizeof(host.hostname), "%s", hostname);
	assert_true(store_host_register(store, &host) >= 0);
}

struct store_snapshot make_snapshot(uint64_t sequence, const char *payload)
{
	return (struct store_snapshot){
		.sequence = sequence,
		.agent_us = clock_wall_us(),
		.boottime_us = clock_boottime_us(),
		.received_us = clock_wall_us(),
		.descriptor_hash = {1, 2, 3},
		.payload = (const uint8_t *)payload,
		.len = strlen(payload),
	};
}

enum store_fate append_one(struct store *store, const uint8_t host[16], const uint8_t instance[16], uint64_t sequence,
			   const char *payload)
{
	struct waiter w;
	waiter_init(&w);
	struct store_snapshot s = make_snapshot(sequence, payload);
	assert_int_equal(store_append(store, host, instance, &s, 1, waiter_done, &w), 0);
	waiter_wait(&w, 1, 10);
	assert_int_equal(w.error, 0);
	assert_int_equal(w.n, 1);
	return w.fates[0];
}

void assert_durable(struct store *store, const uint8_t host[16], const uint8_t instance[16], const char *expected)
{
	struct store_range *ranges = NULL;
	size_t n = 0, len = 0;
	char text[1024] = "";
	assert_int_equal(store_durable(store, host, instance, &ranges, &n), 0);
	for (size_t i = 0; i < n && len < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%" PRIu64 "-%" PRIu64, i ? " " : "",
					ranges[i].first, ranges[i].last);
	free(ranges);
	assert_string_equal(text, expected);
}

void assert_latest(struct store *store, const uint8_t host[16], const char *expected)
{
	uint8_t *payload = NULL, hash[32];
	size_t len = 0;
	int64_t received_us = 0;
	assert_int_equal(store_latest(store, host, &payload, &len, hash, &received_us), 1);
	assert_int_equal(len, strlen(expected));
	assert_memory_equal(payload, expected, len);
	assert_int_equal(hash[0], 1);
	free(payload);
}

void wait_status(struct store *store, const char *words)
{
	char text[256] = "";
	for (int i = 0; i < 1500; i++) {
		store_status(store, text, sizeof(text));
		if (strstr(text, words))
			return;
		usleep(10000);
	}
	fail_msg("status is '%s', not '%s'", text, words);
}

struct store_chunk fixture_raw_chunk(int64_t first_us, bool compacted)
{
	static const uint8_t data[] = "some bytes";
	return (struct store_chunk){.tier = STORE_TIER_RAW,
				    .compacted = compacted,
				    .window_us = first_us - first_us % (6 * FIXTURE_HOUR_US),
				    .first_us = first_us,
				    .last_us = first_us + 1000000,
				    .made_us = first_us + 2000000,
				    .data = data,
				    .len = sizeof(data)};
}

size_t fixture_raw_chunks(struct store_view *view, const uint8_t host[16], struct store_chunk **ret)
{
	size_t n = 0;
	assert_int_equal(store_view_chunks(view, host, STORE_TIER_RAW, 0, INT64_MIN, INT64_MAX, ret, &n), 0);
	return n;
}

void fixture_append_received(void *engine, const uint8_t host[16], uint64_t sequence, int64_t received_us)
{
	enum store_fate fate = STORE_CONFLICT;
	struct store_snapshot s = make_snapshot(sequence, "x");
	s.received_us = received_us;
	int r = store_postgres.begin(engine);
	if (r == 0)
		r = store_postgres.append(engine, host, run_1, &s, &fate);
	if (r == 0)
		r = store_postgres.commit(engine);
	if (r < 0)
		store_postgres.rollback(engine);
	assert_int_equal(r, 0);
	assert_int_equal(fate, STORE_ACCEPTED);
}

void fixture_fill_disk(const char *path)
{
	char block[4096] = "";
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	while (write(fd, block, sizeof(block)) > 0)
		;
	while (write(fd, block, 1) > 0)
		;
	close(fd);
}
