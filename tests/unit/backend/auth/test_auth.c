#include "backend/auth/auth.h"
#include "backend/auth/password.h"
#include "backend/auth/throttle.h"
#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char directory[64];
	char url[112];
	struct store *store;
	struct auth *auth;
};

struct answers {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t calls;
	size_t results[AUTH_ERROR + 1];
	struct auth_login last;
};

#define PASSWORD "correct horse"

static void open_store(struct fixture *f)
{
	char *error = NULL;
	if (store_open(f->url, &f->store, &error) < 0)
		fail_msg("store_open: %s", error);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	snprintf(f->directory, sizeof(f->directory), "/tmp/sonde-auth-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->url, sizeof(f->url), "sqlite:%s/s.db", f->directory);
	open_store(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = {"s.db", "s.db.lock", "s.db-wal", "s.db-shm", "s.db.reserve"};
	struct fixture *f = *state;
	auth_close(f->auth);
	store_close(f->store);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char path[128];
		snprintf(path, sizeof(path), "%s/%s", f->directory, names[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(f->directory), 0);
	free(f);
	return 0;
}

static void open_auth(struct fixture *f, const char *password, char generated[32], char key[AUTH_KEY_TEXT_SIZE])
{
	char *error = NULL;
	if (auth_open(f->store, password, generated, key, &f->auth, &error) < 0)
		fail_msg("auth_open: %s", error);
}

static int setup_open(void **state)
{
	char generated[32], key[AUTH_KEY_TEXT_SIZE];
	setup(state);
	open_auth(*state, PASSWORD, generated, key);
	return 0;
}

static void on_login(void *arg, const struct auth_login *login)
{
	struct answers *a = arg;
	pthread_mutex_lock(&a->lock);
	a->calls++;
	a->results[login->result]++;
	a->last = *login;
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
}

static void answers_init(struct answers *a)
{
	memset(a, 0, sizeof(*a));
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->changed, NULL);
}

static void wait_answers(struct answers *a, size_t calls)
{
	struct timespec until;
	int error = 0;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	pthread_mutex_lock(&a->lock);
	while (a->calls < calls && error == 0)
		error = pthread_cond_timedwait(&a->changed, &a->lock, &until);
	size_t had = a->calls;
	pthread_mutex_unlock(&a->lock);
	assert_int_equal(had, calls);
}

static struct auth_login login(struct auth *auth, const char *username, const char *password)
{
	struct answers a;
	answers_init(&a);
	auth_login(auth, username, password, on_login, &a);
	wait_answers(&a, 1);
	return a.last;
}

static void test_first_start_generates(void **state)
{
	struct fixture *f = *state;
	char generated[32], key[AUTH_KEY_TEXT_SIZE], again[32], again_key[AUTH_KEY_TEXT_SIZE];
	open_auth(f, NULL, generated, key);
	assert_true(strlen(generated) >= 16);
	assert_int_equal(strncmp(key, "sonde_", 6), 0);
	assert_int_equal(strlen(key), 49);
	assert_int_equal(login(f->auth, "admin", generated).result, AUTH_OK);
	struct store_key row;
	assert_int_equal(auth_check_key(f->auth, key, &row), 0);
	assert_int_equal(row.tenant_id, STORE_TENANT_DEFAULT);
	/* Neither stands in the file. */
	struct store_user user;
	assert_int_equal(store_user_get(f->store, "admin", &user), 1);
	assert_int_equal(strncmp(user.password_hash, "$argon2id$", 10), 0);
	/* The second start makes nothing, and does not change the password. */
	char token[AUTH_TOKEN_MAX];
	struct auth_login l = login(f->auth, "admin", generated);
	memcpy(token, l.token, sizeof(token));
	auth_close(f->auth);
	store_close(f->store);
	open_store(f);
	open_auth(f, "another password", again, again_key);
	assert_string_equal(again, "");
	assert_string_equal(again_key, "");
	assert_int_equal(login(f->auth, "admin", "another password").result, AUTH_REFUSED);
	assert_int_equal(login(f->auth, "admin", generated).result, AUTH_OK);
	struct auth_identity who;
	assert_int_equal(auth_check_token(f->auth, token, &who), 0);
	assert_int_equal(auth_check_key(f->auth, key, &row), 0);
}

static void test_password_rules(void **state)
{
	struct fixture *f = *state;
	char generated[32], key[AUTH_KEY_TEXT_SIZE], *error = NULL, long_one[PASSWORD_MAX + 2];
	memset(long_one, 'p', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	const char *const bad[] = {"", "seven77", long_one};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct auth *auth = NULL;
		assert_int_equal(auth_open(f->store, bad[i], generated, key, &auth, &error), -EINVAL);
		assert_null(auth);
		assert_non_null(strstr(error, "SONDE_ADMIN_PASSWORD"));
		assert_non_null(strstr(error, "8"));
		free(error);
		assert_int_equal(store_user_count(f->store), 0);
	}
	open_auth(f, "eight888", generated, key);
	assert_string_equal(generated, "");
	assert_int_equal(login(f->auth, "admin", "eight888").result, AUTH_OK);
}

static void test_login(void **state)
{
	struct fixture *f = *state;
	struct auth_login l = login(f->auth, "admin", PASSWORD);
	struct auth_identity who;
	assert_int_equal(l.result, AUTH_OK);
	assert_int_equal(l.expires_in_s, AUTH_TOKEN_SECONDS);
	assert_int_equal(auth_check_token(f->auth, l.token, &who), 0);
	assert_string_equal(who.username, "admin");
	assert_int_equal(who.role, STORE_ROLE_ADMIN);
	assert_int_equal(who.tenant_id, STORE_TENANT_DEFAULT);
	assert_true(who.expires_s > clock_wall_us() / 1000000);
	l = login(f->auth, "admin", "wrong password");
	assert_int_equal(l.result, AUTH_REFUSED);
	assert_string_equal(l.token, "");
	assert_int_equal(login(f->auth, "nobody", PASSWORD).result, AUTH_REFUSED);
	assert_int_equal(login(f->auth, "", "").result, AUTH_REFUSED);
	assert_int_equal(login(f->auth, "' OR 1=1 --", PASSWORD).result, AUTH_REFUSED);
	char name[5000];
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(login(f->auth, name, PASSWORD).result, AUTH_REFUSED);
	assert_int_equal(login(f->auth, "admin", name).result, AUTH_REFUSED);
}

static uint64_t time_login(struct auth *auth, const char *username)
{
	uint64_t best = UINT64_MAX;
	for (int i = 0; i < 3; i++) {
		uint64_t start = clock_monotonic_ns();
		assert_int_equal(login(auth, username, "wrong password").result, AUTH_REFUSED);
		uint64_t took = clock_monotonic_ns() - start;
		best = took < best ? took : best;
	}
	return best;
}

/* Wide bounds, for busy machines; without the dummy hash the factor would be in the thousands. */
static void test_unknown_users_take_as_long(void **state)
{
	struct fixture *f = *state;
	uint64_t known = time_login(f->auth, "admin"), unknown = time_login(f->auth, "nobody");
	assert_true(unknown > known / 3);
	assert_true(unknown < known * 3);
}

static void test_throttling(void **state)
{
	struct fixture *f = *state;
	struct auth_login l = {.result = AUTH_REFUSED};
	int tries = 0;
	while (l.result == AUTH_REFUSED && tries < 50) {
		l = login(f->auth, "admin", "wrong password");
		tries++;
	}
	assert_int_equal(l.result, AUTH_THROTTLED);
	assert_true(l.retry_after_s > 0);
	assert_true(tries > THROTTLE_FREE_FAILURES);
	/* The right password does not help now, and others are not concerned. */
	assert_int_equal(login(f->auth, "admin", PASSWORD).result, AUTH_THROTTLED);
	assert_int_equal(login(f->auth, "somebody", PASSWORD).result, AUTH_REFUSED);
	/* An unknown account is throttled alike: the answer says nothing about it. */
	for (l.result = AUTH_REFUSED, tries = 0; l.result == AUTH_REFUSED && tries < 50; tries++)
		l = login(f->auth, "nobody", "wrong password");
	assert_int_equal(l.result, AUTH_THROTTLED);
}

static void test_logins_are_bounded(void **state)
{
	struct fixture *f = *state;
	struct answers a;
	answers_init(&a);
	enum { MANY = 100 };
	uint64_t start = clock_monotonic_ns();
	for (int i = 0; i < MANY; i++) {
		char name[32];
		snprintf(name, sizeof(name), "user-%d", i);
		auth_login(f->auth, name, "wrong password", on_login, &a);
	}
	assert_true(clock_monotonic_ns() - start < 5000000000ull);
	wait_answers(&a, MANY);
	assert_true(a.results[AUTH_BUSY] >= MANY - PASSWORD_QUEUE - 10 * PASSWORD_THREADS);
	assert_true(a.results[AUTH_REFUSED] >= PASSWORD_QUEUE);
	assert_int_equal(a.results[AUTH_BUSY] + a.results[AUTH_REFUSED], MANY);
}

/* One who was told "busy" has not failed. */
static void test_busy_is_no_failure(void **state)
{
	struct fixture *f = *state;
	struct answers others, mine;
	answers_init(&others);
	answers_init(&mine);
	enum { MANY = 60, TRIES = 30 };
	for (int i = 0; i < MANY; i++) {
		char name[32];
		snprintf(name, sizeof(name), "user-%d", i);
		auth_login(f->auth, name, "wrong password", on_login, &others);
	}
	for (int i = 0; i < TRIES; i++)
		auth_login(f->auth, "admin", PASSWORD, on_login, &mine);
	wait_answers(&mine, TRIES);
	wait_answers(&others, MANY);
	assert_true(mine.results[AUTH_BUSY] > TRIES / 2);
	assert_int_equal(login(f->auth, "admin", PASSWORD).result, AUTH_OK);
}

static void test_close_answers_everybody(void **state)
{
	struct fixture *f = *state;
	struct answers a;
	answers_init(&a);
	for (int i = 0; i < 4; i++)
		auth_login(f->auth, "nobody", "wrong password", on_login, &a);
	auth_close(f->auth);
	f->auth = NULL;
	assert_int_equal(a.calls, 4);
}

static void test_keys(void **state)
{
	struct fixture *f = *state;
	char key[AUTH_KEY_TEXT_SIZE], other[AUTH_KEY_TEXT_SIZE];
	struct store_key row, found;
	assert_int_equal(auth_create_key(f->auth, "rack 1", key), 0);
	assert_int_equal(auth_create_key(f->auth, "rack 2", other), 0);
	assert_string_not_equal(key, other);
	assert_int_equal(auth_check_key(f->auth, key, &row), 0);
	assert_string_equal(row.name, "rack 1");
	for (size_t i = 0; key[i]; i++) {
		char kept = key[i];
		key[i] = kept == 'A' ? 'B' : 'A';
		assert_int_equal(auth_check_key(f->auth, key, &found), -EACCES);
		key[i] = '\0';
		assert_int_equal(auth_check_key(f->auth, key, &found), -EACCES);
		key[i] = kept;
	}
	row.revoked = true;
	assert_int_equal(store_key_put(f->store, &row), 0);
	assert_int_equal(auth_check_key(f->auth, key, &found), -EACCES);
	assert_int_equal(auth_check_key(f->auth, other, &found), 0);
	assert_int_equal(auth_check_key(f->auth, "", &found), -EACCES);
	assert_int_equal(auth_check_key(f->auth, "sonde_", &found), -EACCES);
	char *large = malloc((1u << 20) + 1);
	assert_non_null(large);
	memset(large, 'A', 1u << 20);
	memcpy(large, "sonde_", 6);
	large[1u << 20] = '\0';
	assert_int_equal(auth_check_key(f->auth, large, &found), -EACCES);
	assert_true(auth_create_key(f->auth, large, key) < 0);
	free(large);
}

/* The text of a key is nowhere in the database's files. */
static void test_key_text_is_not_stored(void **state)
{
	struct fixture *f = *state;
	char key[AUTH_KEY_TEXT_SIZE], path[128];
	assert_int_equal(auth_create_key(f->auth, "secret", key), 0);
	static const char *const names[] = {"s.db", "s.db-wal"};
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", f->directory, names[i]);
		FILE *file = fopen(path, "rb");
		assert_non_null(file);
		static char bytes[1u << 20];
		size_t len = fread(bytes, 1, sizeof(bytes), file);
		fclose(file);
		assert_true(len > 0);
		assert_null(memmem(bytes, len, key + 6, strlen(key) - 6));
		assert_null(memmem(bytes, len, PASSWORD, strlen(PASSWORD)));
	}
}

#define NEW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define OPEN(test) cmocka_unit_test_setup_teardown(test, setup_open, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NEW(test_first_start_generates),
		NEW(test_password_rules),
		OPEN(test_login),
		OPEN(test_unknown_users_take_as_long),
		OPEN(test_throttling),
		OPEN(test_logins_are_bounded),
		OPEN(test_busy_is_no_failure),
		OPEN(test_close_answers_everybody),
		OPEN(test_keys),
		OPEN(test_key_text_is_not_stored),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
