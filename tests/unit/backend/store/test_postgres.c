/* What only PostgreSQL has: refusals at opening, partitions, several backends on one database. Run by
 * tests/integration/store against a real server. */
#include "fixture.h"

#include "backend/store/store_ops.h"
#include "common/clock.h"
#include "tests/unit/backend/store/database.h"

#include <errno.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOUR_US 3600000000ll

static void assert_refused(const char *url, int error, const char *words)
{
	struct store *store = NULL;
	char *line = NULL;
	int r = store_open(url, &store, &line);
	if (r != error || !line || !strstr(line, words))
		fail_msg("%d '%s' is not %d and does not say '%s'", r, line ? line : "", error, words);
	assert_null(strchr(line, '\n'));
	assert_null(strstr(line, "hush"));
	free(line);
}

/* The fixture's URL with another user, password and database. */
static void make_url(const struct fixture *f, const char *user, const char *database, char *out, size_t size)
{
	const char *query = strchr(f->url, '?');
	assert_non_null(query);
	snprintf(out, size, "postgresql://%s:hush@/%s%s", user, database, query);
}

static void close_store(struct fixture *f)
{
	store_close(f->store);
	f->store = NULL;
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;
	char url[512];
	assert_refused("postgresql://nobody:hush@127.0.0.1:1/x", -ENOTCONN, "start it");
	make_url(f, "postgres", "no_such_database", url, sizeof(url));
	assert_refused(url, -ENOENT, "CREATE DATABASE");
	make_url(f, "no_such_user", "sonde", url, sizeof(url));
	assert_refused(url, -EACCES, "check user and password");
	close_store(f);
	fixture_ask(f, "UPDATE schema_version SET version = 1000");
	assert_refused(f->url, -ENOTSUP, "use a newer sonde-backend");
	assert_int_equal(fixture_ask(f, "SELECT version FROM schema_version"), 1000);
	fixture_ask(f, "DROP SCHEMA sonde CASCADE");
	fixture_ask(f, "CREATE SCHEMA sonde");
	fixture_ask(f, "CREATE TABLE sonde.theirs (x int)");
	assert_refused(f->url, -EUCLEAN, "another program's tables");
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM pg_tables WHERE schemaname = 'sonde'"), 1);
}

static void drop_role(const struct fixture *f, const char *role)
{
	char sql[160];
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM pg_roles WHERE rolname = '%s'", role);
	if (fixture_ask(f, sql) == 0)
		return;
	snprintf(sql, sizeof(sql), "DROP OWNED BY %s CASCADE", role);
	fixture_ask(f, sql);
	snprintf(sql, sizeof(sql), "DROP ROLE %s", role);
	fixture_ask(f, sql);
}

/* A user without rights is told what to do, and having it done helps. */
static void test_rights(void **state)
{
	struct fixture *f = *state;
	struct store *store = NULL;
	char url[512], *line = NULL;
	drop_role(f, "plain");
	fixture_ask(f, "CREATE ROLE plain LOGIN");
	make_url(f, "plain", "sonde", url, sizeof(url));
	assert_refused(url, -EACCES, "GRANT");
	close_store(f);
	fixture_ask(f, "DROP SCHEMA sonde CASCADE");
	assert_refused(url, -EACCES, "CREATE SCHEMA sonde AUTHORIZATION plain");
	fixture_ask(f, "CREATE SCHEMA sonde AUTHORIZATION plain");
	assert_int_equal(store_open(url, &store, &line), 0);
	register_host(store, host_a, "a");
	assert_int_equal(append_one(store, host_a, run_1, 1, "x"), STORE_ACCEPTED);
	store_close(store);
	drop_role(f, "other");
	fixture_ask(f, "CREATE ROLE other LOGIN");
	fixture_ask(f, "GRANT USAGE ON SCHEMA sonde TO other");
	fixture_ask(f, "GRANT ALL ON ALL TABLES IN SCHEMA sonde TO other");
	make_url(f, "other", "sonde", url, sizeof(url));
	assert_refused(url, -EACCES, "belong to plain");
	fixture_ask(f, "ALTER ROLE plain SET default_transaction_read_only = on");
	make_url(f, "plain", "sonde", url, sizeof(url));
	assert_refused(url, -EROFS, "read-only");
	drop_role(f, "other");
	drop_role(f, "plain");
}

#define COUNT_PARTITIONS "SELECT count(*) FROM pg_inherits WHERE inhparent = 'sonde.hot'::regclass"

static void test_partitions_are_made_ahead(void **state)
{
	struct fixture *f = *state;
	int64_t now = clock_wall_us();
	void *engine = NULL;
	char *line = NULL;
	close_store(f);
	assert_int_equal(store_postgres.open(f->url, &engine, &line), 0);
	assert_int_equal(fixture_ask(f, COUNT_PARTITIONS), 3);
	fixture_append_received(engine, host_a, 1, now - 30 * HOUR_US);
	fixture_append_received(engine, host_a, 2, now - 30 * HOUR_US);
	fixture_append_received(engine, host_a, 3, now - 20 * HOUR_US);
	fixture_append_received(engine, host_a, 4, now);
	fixture_append_received(engine, host_a, 5, -1);
	fixture_append_received(engine, host_a, 6, INT64_MIN);
	fixture_append_received(engine, host_a, 7, INT64_MAX);
	assert_int_equal(fixture_ask(f, COUNT_PARTITIONS), 8);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM hot"), 7);
	/* None is sealed: none goes. */
	assert_int_equal(store_postgres.expire(engine, 100), 0);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM hot"), 7);
	store_postgres.close(engine);
	fixture_open(f);
	assert_durable(f->store, host_a, run_1, "1-7");
}

/* Another backend's retention, or an administrator, drops the partition a backend writes into: it is made again. */
static void test_dropped_partition_is_made_again(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(append_one(f->store, host_a, run_1, 1, "x"), STORE_ACCEPTED);
	fixture_ask(f, "DO $$ DECLARE t text; BEGIN FOR t IN SELECT inhrelid::regclass::text FROM pg_inherits WHERE"
		       " inhparent = 'sonde.hot'::regclass LOOP EXECUTE 'DROP TABLE ' || t; END LOOP; END $$");
	assert_int_equal(append_one(f->store, host_a, run_1, 2, "x"), STORE_ACCEPTED);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM hot"), 1);
	assert_durable(f->store, host_a, run_1, "1-2");
}

/* Distributed tables may have no unique key without the column they are distributed by. */
static void test_keys_begin_with_the_host(void **state)
{
	struct fixture *f = *state;
	static const char unique[] =
		"SELECT count(*) FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace"
		" n ON n.oid = t.relnamespace WHERE n.nspname = 'sonde' AND i.indisunique"
		" AND t.relname ~ '^(streams|hot|latest|sealed|compacted)'";
	static const char ours[] =
		"SELECT count(*) FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n"
		" ON n.oid = t.relnamespace JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum ="
		" i.indkey[0] WHERE n.nspname = 'sonde' AND i.indisunique AND a.attname = 'host'"
		" AND t.relname ~ '^(streams|hot|latest|sealed|compacted)'";
	int64_t n = fixture_ask(f, unique);
	assert_true(n >= 18);
	assert_int_equal(fixture_ask(f, ours), n);
}

/* Without the extension it says so, and works. */
static void test_citus_is_asked_for_and_absent(void **state)
{
	struct fixture *f = *state;
	close_store(f);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM pg_extension WHERE extname = 'citus'"), 0);
	snprintf(f->url + strlen(f->url), sizeof(f->url) - strlen(f->url), "&citus=on");
	struct store *store = NULL;
	char *line = NULL;
	assert_int_equal(store_open(f->url, &store, &line), 0);
	*strstr(f->url, "&citus=on") = '\0';
	assert_int_equal(append_one(store, host_a, run_1, 1, "x"), STORE_ACCEPTED);
	store_close(store);
}

enum { BACKENDS = 4, SEQUENCES = 300 };

struct backend {
	const struct fixture *fixture;
	unsigned seed;
	struct store *store;
	int open_error;
	char hostname[STORE_HOSTNAME_MAX + 1];
	size_t accepted, duplicates, others;
	pthread_mutex_t lock;
};

static void count_fates(void *arg, int error, const enum store_fate *fates, size_t n)
{
	struct backend *b = arg;
	pthread_mutex_lock(&b->lock);
	for (size_t i = 0; i < n; i++) {
		b->accepted += error == 0 && fates[i] == STORE_ACCEPTED;
		b->duplicates += error == 0 && fates[i] == STORE_DUPLICATE;
		b->others += error != 0 || fates[i] == STORE_CONFLICT;
	}
	pthread_mutex_unlock(&b->lock);
}

/* Opens (and migrates), claims one name with the others, and writes the same sequences as they in an order of its own.
 */
static void *be_a_backend(void *arg)
{
	struct backend *b = arg;
	char *line = NULL, payloads[SEQUENCES][16];
	b->open_error = store_open(b->fixture->url, &b->store, &line);
	if (b->open_error < 0)
		return line;
	struct store_host host = {.tenant_id = 1, .key_id = 1, .host_id = {(uint8_t)b->seed}, .hostname = "twin"};
	if (store_host_register(b->store, &host) < 0)
		return b;
	snprintf(b->hostname, sizeof(b->hostname), "%s", host.hostname);
	host = (struct store_host){.tenant_id = 1, .key_id = 1, .hostname = "shared"};
	memcpy(host.host_id, host_a, sizeof(host.host_id));
	if (store_host_register(b->store, &host) != 0)
		return b;
	for (size_t i = 0; i < SEQUENCES; i++)
		snprintf(payloads[i], sizeof(payloads[i]), "payload %zu", i);
	for (size_t done = 0; done < SEQUENCES;) {
		struct store_snapshot s[16];
		size_t n = 1 + (size_t)rand_r(&b->seed) % 16;
		n = n > SEQUENCES - done ? SEQUENCES - done : n;
		for (size_t i = 0; i < n; i++) {
			size_t which = (done + i) * 7 % SEQUENCES;
			s[i] = make_snapshot(which, payloads[which]);
		}
		if (store_append(b->store, host_a, run_1, s, n, count_fates, b) < 0)
			return b;
		done += n;
		usleep((useconds_t)rand_r(&b->seed) % 2000);
	}
	store_close(b->store);
	return NULL;
}

static void test_several_backends_on_one_database(void **state)
{
	struct fixture *f = *state;
	struct backend backends[BACKENDS];
	pthread_t threads[BACKENDS];
	size_t accepted = 0, suffixed = 0;
	close_store(f);
	fixture_ask(f, "DROP SCHEMA sonde CASCADE");
	for (unsigned i = 0; i < BACKENDS; i++) {
		backends[i] = (struct backend){.fixture = f, .seed = i + 1};
		pthread_mutex_init(&backends[i].lock, NULL);
		assert_int_equal(pthread_create(&threads[i], NULL, be_a_backend, &backends[i]), 0);
	}
	for (unsigned i = 0; i < BACKENDS; i++) {
		void *failed = NULL;
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		if (failed)
			fail_msg("backend %u: %d %s", i, backends[i].open_error,
				 backends[i].open_error ? (char *)failed : "");
		assert_int_equal(backends[i].others, 0);
		assert_int_equal(backends[i].accepted + backends[i].duplicates, SEQUENCES);
		accepted += backends[i].accepted;
		suffixed += strcmp(backends[i].hostname, "twin") != 0;
	}
	assert_int_equal(accepted, SEQUENCES);
	assert_int_equal(suffixed, BACKENDS - 1);
	fixture_open(f);
	assert_durable(f->store, host_a, run_1, "0-299");
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM hot"), SEQUENCES);
	assert_int_equal(fixture_ask(f, "SELECT count(DISTINCT hostname) FROM hosts"), BACKENDS + 1);
}

/* An administrator holds a table: what comes waits, and is written when it is free. */
static void test_locked_table(void **state)
{
	struct fixture *f = *state;
	struct waiter w;
	waiter_init(&w);
	PGconn *conn = database_connect(f->url);
	PQclear(PQexec(conn, "BEGIN; LOCK TABLE sonde.streams"));
	assert_int_equal(PQtransactionStatus(conn), PQTRANS_INTRANS);
	struct store_snapshot s = make_snapshot(1, "waits");
	assert_int_equal(store_append(f->store, host_a, run_1, &s, 1, waiter_done, &w), 0);
	wait_status(f->store, "lock");
	assert_int_equal(w.calls, 0);
	assert_int_equal(store_user_count(f->store), 0); /* questions about other tables are answered */
	PQfinish(conn);
	waiter_wait(&w, 1, 20);
	assert_int_equal(w.error, 0);
	assert_durable(f->store, host_a, run_1, "1-1");
	wait_status(f->store, "ok");
}

/* Every session is ended: each question is answered on a new connection, nothing that was queued is lost. */
static void test_sessions_are_ended(void **state)
{
	struct fixture *f = *state;
	static const char end[] =
		"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name ="
		" 'sonde-backend' AND datname = current_database()";
	assert_int_equal(append_one(f->store, host_a, run_1, 1, "x"), STORE_ACCEPTED);
	for (int i = 0; i < 3; i++) {
		assert_true(fixture_ask(f, end) >= 1);
		assert_int_equal(store_user_count(f->store), 0);
		assert_true(fixture_ask(f, end) >= 1);
		assert_int_equal(append_one(f->store, host_a, run_1, (uint64_t)i + 2, "x"), STORE_ACCEPTED);
	}
	assert_durable(f->store, host_a, run_1, "1-4");
}

static const char *const evil[] = {
	"'; DROP SCHEMA sonde CASCADE; --",
	"\\'; DROP SCHEMA sonde CASCADE; --",
	"\"; DROP TABLE sonde.hosts; --",
	"$$; DROP TABLE sonde.hosts; $$",
	"E'\\x27' || (SELECT version())",
	"%s%n$1${1}:name",
	"\xef\xbc\x87; DROP TABLE sonde.hosts; --", /* a full-width apostrophe */
	"\xca\xbc OR 1=1",
	"\xf0\x9f\x92\xa3\xe2\x80\xae",
};

static void test_text_is_never_sql(void **state)
{
	struct fixture *f = *state;
	size_t len = 1u << 20;
	char *large = malloc(len + 1);
	assert_non_null(large);
	for (size_t i = 0; i < len; i++)
		large[i] = evil[0][i % strlen(evil[0])];
	large[len] = '\0';
	struct store_user got;
	for (size_t i = 0; i < sizeof(evil) / sizeof(evil[0]); i++) {
		struct store_host host = {.tenant_id = 1, .key_id = 1, .host_id = {100, (uint8_t)i}};
		struct store_user user = {.tenant_id = 1, .role = STORE_ROLE_VIEWER};
		struct store_key key = {.tenant_id = 1, .hash = {(uint8_t)i}}, key_got;
		snprintf(host.hostname, sizeof(host.hostname), "%s", evil[i]);
		snprintf(user.username, sizeof(user.username), "%s", evil[i]);
		snprintf(user.password_hash, sizeof(user.password_hash), "%s", evil[i]);
		snprintf(key.name, sizeof(key.name), "%s", evil[i]);
		assert_int_equal(store_host_register(f->store, &host), 0);
		assert_int_equal(store_user_put(f->store, &user), 0);
		assert_int_equal(store_user_get(f->store, evil[i], &got), 1);
		assert_string_equal(got.password_hash, evil[i]);
		assert_int_equal(store_key_put(f->store, &key), 0);
		assert_int_equal(store_key_get(f->store, key.hash, &key_got), 1);
		assert_string_equal(key_got.name, evil[i]);
		assert_int_equal(store_setting_put(f->store, evil[i], evil[i], strlen(evil[i])), 0);
		assert_int_equal(append_one(f->store, host.host_id, run_1, 1, evil[i]), STORE_ACCEPTED);
	}
	assert_int_equal(store_user_get(f->store, large, &got), 0);
	assert_int_equal(append_one(f->store, host_a, run_1, 1, large), STORE_ACCEPTED);
	uint8_t *payload = NULL, hash[32];
	int64_t received = 0;
	size_t payload_len = 0;
	assert_int_equal(store_latest(f->store, host_a, &payload, &payload_len, hash, &received), 1);
	assert_int_equal(payload_len, len);
	assert_memory_equal(payload, large, len);
	free(payload);
	free(large);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM hosts"), 2 + sizeof(evil) / sizeof(evil[0]));
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM users"), sizeof(evil) / sizeof(evil[0]));
}

static long resident_kib(void)
{
	char text[128] = "";
	long pages = 0, resident = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	assert_non_null(file);
	assert_non_null(fgets(text, sizeof(text), file));
	fclose(file);
	char *end = NULL;
	pages = strtol(text, &end, 10);
	resident = strtol(end, NULL, 10);
	assert_true(pages > 0);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* A group of 48 MiB: written whole, and no buffer of that size stays behind. */
static void test_large_group(void **state)
{
	struct fixture *f = *state;
	enum { N = 48 };
	size_t len = 1u << 20;
	char *payload = malloc(len + 1);
	assert_non_null(payload);
	memset(payload, 'l', len);
	payload[len] = '\0';
	struct store_snapshot snapshots[N];
	struct waiter w;
	waiter_init(&w);
	assert_int_equal(append_one(f->store, host_a, run_1, 1000, "first"), STORE_ACCEPTED);
	long before = resident_kib();
	for (size_t i = 0; i < N; i++)
		snapshots[i] = make_snapshot(i + 1, payload);
	assert_int_equal(store_append(f->store, host_a, run_1, snapshots, N, waiter_done, &w), 0);
	waiter_wait(&w, 1, 60);
	free(payload);
	assert_int_equal(w.error, 0);
	assert_durable(f->store, host_a, run_1, "1-48 1000-1000");
	assert_int_equal(fixture_ask(f, "SELECT sum(octet_length(payload)) FROM hot"), N * (int64_t)len + 5);
	long grown = resident_kib() - before;
#ifndef __SANITIZE_ADDRESS__ /* which keeps freed memory for a while */
	if (grown > 20 << 10)
		fail_msg("%ld KiB more than before", grown);
#endif
	assert_true(grown < 1 << 20);
}

/* No database holds it: unknown when asked for, refused when written. */
static void test_text_that_is_not_utf8(void **state)
{
	struct fixture *f = *state;
	struct store_user user = {.tenant_id = 1, .username = "a\xff", .password_hash = "x", .role = STORE_ROLE_ADMIN};
	struct store_host host = {.tenant_id = 1, .key_id = 1, .host_id = {9}, .hostname = "\xc3("};
	char value[4];
	assert_int_equal(store_user_get(f->store, "a\xff", &user), 0);
	assert_int_equal(store_user_put(f->store, &user), -EINVAL);
	assert_int_equal(store_host_register(f->store, &host), -EINVAL);
	assert_int_equal(store_setting_get(f->store, "\xff", value, sizeof(value)), 0);
	assert_int_equal(store_user_count(f->store), 0);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(test_refusals),
		WITH_STORE(test_rights),
		WITH_STORE(test_partitions_are_made_ahead),
		WITH_STORE(test_dropped_partition_is_made_again),
		WITH_STORE(test_keys_begin_with_the_host),
		WITH_STORE(test_citus_is_asked_for_and_absent),
		WITH_STORE(test_several_backends_on_one_database),
		WITH_STORE(test_locked_table),
		WITH_STORE(test_sessions_are_ended),
		WITH_STORE(test_text_is_never_sql),
		WITH_STORE(test_text_that_is_not_utf8),
		WITH_STORE(test_large_group),
	};
	if (!fixture_on_postgres()) {
		print_message(
			"SONDE_TEST_STORE names no PostgreSQL: tests/integration/store/test_engines.py starts one\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
