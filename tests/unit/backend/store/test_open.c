/* What store_open() refuses, in which words, and that it leaves the files as they were. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct contents {
	char *bytes;
	size_t len;
};

static struct contents slurp(const char *path)
{
	struct contents c = {0};
	FILE *file = fopen(path, "rb");
	assert_non_null(file);
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	c.len = (size_t)ftell(file);
	rewind(file);
	c.bytes = malloc(c.len + 1);
	assert_non_null(c.bytes);
	assert_int_equal(fread(c.bytes, 1, c.len, file), c.len);
	fclose(file);
	return c;
}

static void spill(const char *path, const char *bytes, size_t len)
{
	FILE *file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

static void assert_refused(const char *url, int error, const char *words)
{
	struct store *store = NULL;
	char *line = NULL;
	assert_int_equal(store_open(url, &store, &line), error);
	assert_null(store);
	assert_non_null(line);
	if (!strstr(line, words))
		fail_msg("'%s' does not say '%s'", line, words);
	assert_null(strchr(line, '\n'));
	free(line);
}

static void assert_refused_unchanged(struct fixture *f, int error, const char *words)
{
	struct contents before = slurp(f->path);
	assert_refused(f->url, error, words);
	struct contents after = slurp(f->path);
	assert_int_equal(before.len, after.len);
	assert_memory_equal(before.bytes, after.bytes, before.len);
	free(before.bytes);
	free(after.bytes);
}

static void close_store(struct fixture *f)
{
	store_close(f->store);
	f->store = NULL;
}

static void change(const char *path, const char *sql)
{
	sqlite3 *db = NULL;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000); /* the writer may be at its retention step */
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void test_bad_urls(void **state)
{
	assert_refused("mysql://user:secret@host/db", -EPROTONOSUPPORT, "sqlite:PATH");
	assert_refused("", -EPROTONOSUPPORT, "sqlite:PATH");
	assert_refused("sqlite:", -EINVAL, "path");
	struct store *store = NULL;
	char *line = NULL;
	assert_true(store_open("mysql://user:secret@host/db", &store, &line) < 0);
	assert_null(strstr(line, "secret"));
	free(line);
}

static void test_file_is_private(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	assert_int_equal(append_one(f->store, host_a, run_1, 1, "x"), STORE_ACCEPTED);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 077, 0);
	char log[128];
	snprintf(log, sizeof(log), "%s-wal", f->path);
	assert_int_equal(stat(log, &st), 0);
	assert_int_equal(st.st_mode & 077, 0);
}

static void test_second_process_is_refused(void **state)
{
	struct fixture *f = *state;
	char words[64];
	snprintf(words, sizeof(words), "another sonde-backend (pid %d) uses", (int)getpid());
	assert_refused(f->url, -EWOULDBLOCK, words);
	assert_refused(f->url, -EWOULDBLOCK, "choose another --store");
	/* A link to the file is the same file. */
	char link[160], url[180];
	snprintf(link, sizeof(link), "%s-link", f->path);
	snprintf(url, sizeof(url), "sqlite:%s", link);
	assert_int_equal(symlink(f->path, link), 0);
	assert_refused(url, -EWOULDBLOCK, words);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(append_one(f->store, host_a, run_1, 1, "x"), STORE_ACCEPTED);
	/* And may come when the first has gone. */
	fixture_reopen(f);
}

static void test_not_a_database(void **state)
{
	struct fixture *f = *state;
	close_store(f);
	char text[9000];
	memset(text, 'g', sizeof(text));
	spill(f->path, text, sizeof(text));
	assert_refused_unchanged(f, -EUCLEAN, "not a Sonde database");
	spill(f->path, "short", 5);
	assert_refused_unchanged(f, -EUCLEAN, "not a Sonde database");
}

static void test_another_programs_database(void **state)
{
	struct fixture *f = *state;
	close_store(f);
	unlink(f->path);
	change(f->path, "CREATE TABLE theirs(x); INSERT INTO theirs VALUES(1)");
	assert_refused_unchanged(f, -EUCLEAN, "not a Sonde database");
}

static void fill(struct fixture *f)
{
	struct waiter w;
	waiter_init(&w);
	char payload[1500];
	memset(payload, 'p', sizeof(payload));
	payload[sizeof(payload) - 1] = '\0';
	for (uint64_t i = 1; i <= 200; i++) {
		struct store_snapshot s = make_snapshot(i, payload);
		assert_int_equal(store_append(f->store, host_a, run_1, &s, 1, waiter_done, &w), 0);
	}
	waiter_wait(&w, 200, 20);
	close_store(f);
}

static void test_truncated_file(void **state)
{
	struct fixture *f = *state;
	fill(f);
	struct contents whole = slurp(f->path);
	const size_t lengths[] = {whole.len / 2, whole.len - 4096, 4096, 1000, 100, 10};
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		spill(f->path, whole.bytes, lengths[i]);
		assert_refused_unchanged(f, -EUCLEAN, "nothing was changed");
	}
	spill(f->path, whole.bytes, whole.len);
	free(whole.bytes);
	fixture_open(f);
	assert_durable(f->store, host_a, run_1, "1-200");
}

static void test_damaged_pages(void **state)
{
	struct fixture *f = *state;
	fill(f);
	struct contents whole = slurp(f->path);
	memset(whole.bytes + 4096, 0xa5, whole.len - 4096);
	spill(f->path, whole.bytes, whole.len);
	free(whole.bytes);
	assert_refused_unchanged(f, -EUCLEAN, "corrupt");
}

static void test_emptied_file_with_a_log(void **state)
{
	struct fixture *f = *state;
	char log[128];
	snprintf(log, sizeof(log), "%s-wal", f->path);
	assert_int_equal(append_one(f->store, host_a, run_1, 1, "x"), STORE_ACCEPTED);
	struct contents wal = slurp(log);
	assert_true(wal.len > 0);
	close_store(f);
	spill(f->path, "", 0);
	spill(log, wal.bytes, wal.len);
	assert_refused_unchanged(f, -EUCLEAN, "truncated");
	struct contents after = slurp(log);
	assert_int_equal(after.len, wal.len);
	free(after.bytes);
	free(wal.bytes);
}

static void test_newer_schema(void **state)
{
	struct fixture *f = *state;
	close_store(f);
	change(f->path, "PRAGMA user_version = 1000");
	assert_refused_unchanged(f, -ENOTSUP, "use a newer sonde-backend");
}

/* What the version before history left. */
static void make_older(struct fixture *f)
{
	change(f->path, "DROP TABLE sealing; DROP TABLE latest; DROP TABLE chunks; DROP TABLE chunk_pieces;"
			"DROP TABLE buried_chunks; DROP INDEX hot_time; CREATE INDEX hot_time ON hot (host, agent_us);"
			"PRAGMA user_version = 1");
}

static int count_row(void *arg, const struct store_row *row)
{
	size_t *n = arg;
	*n += row->len > 0;
	return 0;
}

static void assert_migrated(struct fixture *f)
{
	size_t rows = 0;
	struct store_usage usage;
	assert_int_equal(store_snapshots_between(f->store, host_a, INT64_MIN, INT64_MAX, false, count_row, &rows), 0);
	assert_int_equal(rows, 200);
	assert_durable(f->store, host_a, run_1, "1-200");
	assert_int_equal(store_usage(f->store, &usage), 0);
	assert_int_equal(fixture_ask(f, "PRAGMA user_version"), 2);
	assert_int_equal(append_one(f->store, host_a, run_1, 201, "x"), STORE_ACCEPTED);
}

static void test_older_schema_is_migrated(void **state)
{
	struct fixture *f = *state;
	fill(f);
	make_older(f);
	fixture_open(f);
	assert_migrated(f);
}

/* A start that was killed is taken up by the next, wherever it was. */
static void test_killed_while_migrating(void **state)
{
	struct fixture *f = *state;
	unsigned seed = (unsigned)getpid();
	fill(f);
	make_older(f);
	struct contents older = slurp(f->path);
	int migrated = 0;
	for (int round = 0; round < 20; round++) {
		spill(f->path, older.bytes, older.len);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			struct store *store = NULL;
			char *line = NULL;
			if (store_open(f->url, &store, &line) < 0)
				_exit(1);
			pause();
		}
		usleep((useconds_t)rand_r(&seed) % 20000);
		assert_int_equal(kill(pid, SIGKILL), 0);
		int status = 0;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		migrated += fixture_ask(f, "PRAGMA user_version") == 2;
		fixture_open(f);
		if (round == 19)
			assert_migrated(f);
		close_store(f);
	}
	print_message("%d of 20 had come through before they were killed\n", migrated);
	free(older.bytes);
}

static void test_missing_directory(void **state)
{
	struct fixture *f = *state;
	char url[160];
	snprintf(url, sizeof(url), "sqlite:%s/no/such/s.db", f->directory);
	assert_refused(url, -ENOENT, "must exist");
	snprintf(url, sizeof(url), "sqlite:%s", f->directory);
	struct store *store = NULL;
	char *line = NULL;
	assert_true(store_open(url, &store, &line) < 0);
	assert_non_null(line);
	free(line);
	snprintf(url, sizeof(url), "%s.lock", f->directory);
	unlink(url);
}

/* Root may write everywhere, so another user tries. */
static void test_no_permission(void **state)
{
	struct fixture *f = *state;
	if (geteuid() != 0) {
		print_message("SKIP: only root can become another user to be refused\n");
		skip();
	}
	close_store(f);
	assert_int_equal(chmod(f->directory, 0755), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct store *store = NULL;
		char *line = NULL;
		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(99);
		int error = store_open(f->url, &store, &line);
		_exit(error == -EACCES && line && strstr(line, f->path) ? 0 : 1);
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Killed between making the file and filling it. */
static void test_empty_file_is_a_new_store(void **state)
{
	struct fixture *f = *state;
	close_store(f);
	spill(f->path, "", 0);
	fixture_open(f);
	assert_int_equal(store_user_count(f->store), 0);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_urls),
		WITH_STORE(test_file_is_private),
		WITH_STORE(test_second_process_is_refused),
		WITH_STORE(test_not_a_database),
		WITH_STORE(test_another_programs_database),
		WITH_STORE(test_truncated_file),
		WITH_STORE(test_damaged_pages),
		WITH_STORE(test_emptied_file_with_a_log),
		WITH_STORE(test_newer_schema),
		WITH_STORE(test_older_schema_is_migrated),
		WITH_STORE(test_killed_while_migrating),
		WITH_STORE(test_missing_directory),
		WITH_STORE(test_no_permission),
		WITH_STORE(test_empty_file_is_a_new_store),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
