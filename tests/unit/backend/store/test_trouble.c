/* The database cannot be written for a while: locked, full, corrupt. Nothing that was queued may be lost, and whoever
 * asks is told. */
#include "fixture.h"

#include "backend/store/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_locked_database(void **state)
{
	struct fixture *f = *state;
	sqlite3 *db = NULL;
	struct waiter w;
	waiter_init(&w);
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000); /* the writer may be at its retention step */
	assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
	for (uint64_t i = 1; i <= 100; i++) {
		struct store_snapshot s = make_snapshot(i, "waits");
		assert_int_equal(store_append(f->store, host_a, run_1, &s, 1, waiter_done, &w), 0);
	}
	wait_status(f->store, "lock");
	assert_int_equal(w.calls, 0);
	assert_durable(f->store, host_a, run_1, "");
	assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	waiter_wait(&w, 100, 20);
	assert_int_equal(w.error, 0);
	assert_durable(f->store, host_a, run_1, "1-100");
	wait_status(f->store, "ok");
}

static void test_close_while_locked(void **state)
{
	struct fixture *f = *state;
	sqlite3 *db = NULL;
	struct waiter w;
	waiter_init(&w);
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000); /* the writer may be at its retention step */
	assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
	struct store_snapshot s = make_snapshot(1, "never");
	assert_int_equal(store_append(f->store, host_a, run_1, &s, 1, waiter_done, &w), 0);
	store_close(f->store);
	f->store = NULL;
	assert_int_equal(w.calls, 1);
	assert_true(w.error < 0);
	sqlite3_close(db);
	fixture_open(f);
	assert_durable(f->store, host_a, run_1, "");
}

static void test_queue_is_bounded(void **state)
{
	struct fixture *f = *state;
	sqlite3 *db = NULL;
	struct waiter w;
	waiter_init(&w);
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000); /* the writer may be at its retention step */
	assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
	uint64_t queued = 0;
	int r = 0;
	while (queued <= WRITER_MAX_SNAPSHOTS && r == 0) {
		struct store_snapshot s = make_snapshot(queued + 1, "q");
		r = store_append(f->store, host_a, run_1, &s, 1, waiter_done, &w);
		queued += r == 0;
	}
	assert_int_equal(r, -EAGAIN);
	assert_int_equal(queued, WRITER_MAX_SNAPSHOTS);
	assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	waiter_wait(&w, queued, 60);
	struct store_snapshot s = make_snapshot(queued + 1, "q");
	assert_int_equal(store_append(f->store, host_a, run_1, &s, 1, waiter_done, &w), 0);
	waiter_wait(&w, queued + 1, 10);
	assert_durable(f->store, host_a, run_1, "1-10001");
}

struct order {
	struct waiter waiter; /* the first: it is what waiter_done() gets */
	struct order *other;
	unsigned calls_of_other; /* when this one was done */
};

static void order_done(void *arg, int error, const enum store_fate *fates, size_t n)
{
	struct order *order = arg;
	order->calls_of_other = (unsigned)order->other->waiter.calls;
	waiter_done(&order->waiter, error, fates, n);
}

/* Whoever has a backlog waits behind it; who is live does not. */
static void test_a_backlog_holds_up_nobody_else(void **state)
{
	struct fixture *f = *state;
	sqlite3 *db = NULL;
	struct order late = {0}, live = {.other = &late};
	late.other = &live;
	waiter_init(&late.waiter);
	waiter_init(&live.waiter);
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000); /* the writer may be at its retention step */
	assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
	uint64_t queued = 0;
	int r = 0;
	while (queued <= WRITER_MAX_SNAPSHOTS && r == 0) {
		struct store_snapshot s = make_snapshot(queued + 1, "q");
		s.agent_us = s.received_us - STORE_LATE_US - 1;
		r = store_append(f->store, host_a, run_1, &s, 1, order_done, &late);
		queued += r == 0;
	}
	assert_int_equal(r, -EAGAIN);
	assert_int_equal(queued, WRITER_LATE_MAX_SNAPSHOTS);
	struct store_snapshot s = make_snapshot(1, "live");
	s.agent_us = s.received_us - STORE_LATE_US;
	assert_int_equal(store_append(f->store, host_a, run_2, &s, 1, order_done, &live), 0);
	assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	waiter_wait(&live.waiter, 1, 60);
	waiter_wait(&late.waiter, queued, 60);
	/* Behind what the writer had in hand when the database was locked, and before the rest. */
	assert_true(live.calls_of_other <= WRITER_LATE_GROUP_SNAPSHOTS);
	assert_durable(f->store, host_a, run_1, "1-2500");
	assert_durable(f->store, host_a, run_2, "1-1");
}

static void test_bytes_are_bounded(void **state)
{
	struct fixture *f = *state;
	sqlite3 *db = NULL;
	struct waiter w;
	waiter_init(&w);
	size_t len = 4u << 20;
	char *payload = malloc(len + 1);
	assert_non_null(payload);
	memset(payload, 'x', len);
	payload[len] = '\0';
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000); /* the writer may be at its retention step */
	assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL), SQLITE_OK);
	uint64_t queued = 0;
	int r = 0;
	while (queued < 100 && r == 0) {
		struct store_snapshot s = make_snapshot(queued + 1, payload);
		r = store_append(f->store, host_a, run_1, &s, 1, waiter_done, &w);
		queued += r == 0;
	}
	assert_int_equal(r, -EAGAIN);
	assert_true(queued * len <= WRITER_MAX_BYTES);
	assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	waiter_wait(&w, queued, 60);
	assert_int_equal(w.error, 0);
	free(payload);
}

static void run_on_full_disk(const char *directory)
{
	char url[160], ballast[160];
	struct store *store = NULL;
	char *line = NULL;
	struct waiter w;
	waiter_init(&w);
	snprintf(url, sizeof(url), "sqlite:%s/s.db", directory);
	snprintf(ballast, sizeof(ballast), "%s/ballast", directory);
	assert_int_equal(store_open(url, &store, &line), 0);
	register_host(store, host_a, "a");
	assert_int_equal(append_one(store, host_a, run_1, 1, "before"), STORE_ACCEPTED);
	fixture_fill_disk(ballast);
	static char payload[100001];
	memset(payload, 'f', sizeof(payload) - 1);
	for (uint64_t i = 2; i <= 20; i++) {
		struct store_snapshot s = make_snapshot(i, payload);
		assert_int_equal(store_append(store, host_a, run_1, &s, 1, waiter_done, &w), 0);
	}
	wait_status(store, "disk");
	uint8_t *latest = NULL, hash[32];
	size_t len = 0;
	int64_t received = 0;
	assert_int_equal(store_latest(store, host_a, &latest, &len, hash, &received), 1);
	free(latest);
	assert_int_equal(unlink(ballast), 0);
	waiter_wait(&w, 19, 30);
	assert_int_equal(w.error, 0);
	assert_durable(store, host_a, run_1, "1-20");
	wait_status(store, "ok");
	store_close(store);
}

static void test_full_disk(void **state)
{
	char directory[] = "/tmp/sonde-full-XXXXXX";
	assert_non_null(mkdtemp(directory));
	if (mount("tmpfs", directory, "tmpfs", 0, "size=8m") < 0) {
		print_message("SKIP: no small filesystem can be mounted here: %s\n", strerror(errno));
		rmdir(directory);
		skip();
	}
	run_on_full_disk(directory);
	assert_int_equal(umount(directory), 0);
	assert_int_equal(rmdir(directory), 0);
}

/* Pages behind the schema are overwritten while the store is open: writing must stop and say so. */
static void test_corrupted_while_running(void **state)
{
	struct fixture *f = *state;
	struct waiter w;
	waiter_init(&w);
	static char payload[200000];
	memset(payload, 'c', sizeof(payload) - 1);
	assert_int_equal(append_one(f->store, host_a, run_1, 1, payload), STORE_ACCEPTED);
	fixture_reopen(f);
	struct stat st;
	assert_int_equal(stat(f->path, &st), 0);
	/* Not closed before the end: SQLite's POSIX locks in this process would go with it. */
	int fd = open(f->path, O_WRONLY | O_CLOEXEC);
	char rubbish[4096];
	memset(rubbish, 0xa5, sizeof(rubbish));
	for (off_t at = 4096; at < st.st_size; at += (off_t)sizeof(rubbish))
		assert_int_equal(pwrite(fd, rubbish, sizeof(rubbish), at), sizeof(rubbish));
	/* A commit of somebody else empties the store's page cache; it touches the first page only, which is whole. */
	sqlite3 *db = NULL;
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000); /* the writer may be at its retention step */
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 1", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	struct store_snapshot s = make_snapshot(2, "x");
	assert_int_equal(store_append(f->store, host_a, run_1, &s, 1, waiter_done, &w), 0);
	wait_status(f->store, "corrupt");
	usleep(300000);
	assert_int_equal(w.calls, 0);
	store_close(f->store);
	f->store = NULL;
	close(fd);
	assert_int_equal(w.calls, 1);
	assert_true(w.error < 0);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(test_locked_database),	  WITH_STORE(test_close_while_locked),
		WITH_STORE(test_queue_is_bounded),	  WITH_STORE(test_a_backlog_holds_up_nobody_else),
		WITH_STORE(test_bytes_are_bounded),	  cmocka_unit_test(test_full_disk),
		WITH_STORE(test_corrupted_while_running),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
