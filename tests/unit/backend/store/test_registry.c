#include "fixture.h"

#include "common/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct store_host make_host(const char *id, const char *hostname)
{
	struct store_host host = {.tenant_id = 1, .key_id = 7, .first_seen_us = 100, .last_seen_us = 200};
	memcpy(host.host_id, id, strnlen(id, sizeof(host.host_id)));
	snprintf(host.hostname, sizeof(host.hostname), "%s", hostname);
	return host;
}

static void assert_named(struct store *store, const char *id, const char *asks, int result, const char *gets)
{
	struct store_host host = make_host(id, asks);
	assert_int_equal(store_host_register(store, &host), result);
	assert_string_equal(host.hostname, gets);
}

static struct store_host find_host(struct store *store, const char *hostname)
{
	struct store_host *hosts = NULL, found = {0};
	size_t n = 0;
	assert_int_equal(store_hosts(store, &hosts, &n), 0);
	for (size_t i = 0; i < n; i++)
		if (strcmp(hosts[i].hostname, hostname) == 0)
			found = hosts[i];
	found.facts = NULL; /* goes with the list; the length stays for the test */
	store_hosts_free(hosts, n);
	return found;
}

static void test_hostname_suffixes(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	assert_named(store, "one", "web", 0, "web");
	assert_named(store, "two", "web", 1, "web-2");
	assert_named(store, "three", "web", 1, "web-3");
	assert_named(store, "two", "web", 1, "web-2");
	assert_named(store, "three", "web", 1, "web-3");
	assert_named(store, "one", "web", 0, "web");
	assert_named(store, "four", "web-2", 1, "web-2-2");
	/* A name given up is free; the others keep theirs. */
	assert_named(store, "two", "db", 0, "db");
	assert_named(store, "three", "web", 1, "web-3");
	assert_named(store, "five", "web", 1, "web-2");
}

static void test_longest_hostname_takes_a_suffix(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	char name[STORE_HOSTNAME_MAX + 1];
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_named(store, "one", name, 0, name);
	struct store_host host = make_host("two", name);
	assert_int_equal(store_host_register(store, &host), 1);
	assert_true(strlen(host.hostname) <= STORE_HOSTNAME_MAX);
	assert_string_equal(host.hostname + strlen(host.hostname) - 2, "-2");
	char given[STORE_HOSTNAME_MAX + 1];
	memcpy(given, host.hostname, sizeof(given));
	assert_named(store, "two", name, 1, given);
}

static void test_suffix_does_not_cut_a_character(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	char name[STORE_HOSTNAME_MAX + 1];
	/* Two-byte characters, so that the place for "-2" begins inside one of them. */
	name[0] = 'x';
	for (size_t i = 1; i + 1 < sizeof(name) - 1; i += 2)
		memcpy(name + i, "\xc3\xa4", 2);
	name[STORE_HOSTNAME_MAX - 1] = 'y';
	name[STORE_HOSTNAME_MAX] = '\0';
	assert_named(store, "one", name, 0, name);
	struct store_host host = make_host("two", name);
	assert_int_equal(store_host_register(store, &host), 1);
	assert_true(wire_utf8((const uint8_t *)host.hostname, strlen(host.hostname)));
	assert_string_equal(host.hostname + strlen(host.hostname) - 2, "-2");
}

static void test_key_and_tenant_bind(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	assert_named(store, "one", "web", 0, "web");
	struct store_host thief = make_host("one", "mine");
	thief.key_id = 8;
	assert_int_equal(store_host_register(store, &thief), -EACCES);
	thief = make_host("one", "mine");
	thief.tenant_id = 2;
	assert_int_equal(store_host_register(store, &thief), -EACCES);
	assert_int_equal(find_host(store, "web").key_id, 7);
	assert_string_equal(find_host(store, "mine").hostname, "");
}

static void test_update_keeps_what_it_should(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	uint8_t facts[] = "facts";
	struct store_host host = make_host("one", "web");
	host.facts = facts;
	host.facts_len = sizeof(facts);
	assert_int_equal(store_host_register(store, &host), 0);
	host = make_host("one", "web");
	host.first_seen_us = 999;
	host.last_seen_us = 300;
	assert_int_equal(store_host_register(store, &host), 0);
	struct store_host now = find_host(store, "web");
	assert_int_equal(now.first_seen_us, 100);
	assert_int_equal(now.last_seen_us, 300);
	assert_int_equal(now.facts_len, sizeof(facts));
	assert_int_equal(store_host_seen(store, host.host_id, 400), 0);
	assert_int_equal(find_host(store, "web").last_seen_us, 400);
}

static void test_injection(void **state)
{
	struct fixture *f = *state;
	static const char evil[] = "x'); DROP TABLE hosts; --\"\\%_";
	assert_named(f->store, "one", evil, 0, evil);
	assert_named(f->store, "two", evil, 1, "x'); DROP TABLE hosts; --\"\\%_-2");
	assert_string_equal(find_host(f->store, evil).hostname, evil);
	struct store_user user = {.tenant_id = 1, .role = STORE_ROLE_VIEWER, .password_hash = "' OR '1'='1"}, got;
	snprintf(user.username, sizeof(user.username), "%s", evil);
	assert_int_equal(store_user_put(f->store, &user), 0);
	assert_int_equal(store_user_get(f->store, "' OR '1'='1", &got), 0);
	assert_int_equal(store_user_get(f->store, evil, &got), 1);
	assert_string_equal(got.password_hash, "' OR '1'='1");
	assert_int_equal(store_setting_put(f->store, "'; DELETE FROM users; --", "v", 1), 0);
	assert_int_equal(store_user_count(f->store), 1);
	fixture_reopen(f);
	assert_string_equal(find_host(f->store, evil).hostname, evil);
}

static void test_users(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	struct store_user user = {.tenant_id = 1, .username = "ann", .password_hash = "h1", .role = STORE_ROLE_VIEWER};
	struct store_user got;
	assert_int_equal(store_user_count(store), 0);
	assert_int_equal(store_user_get(store, "ann", &got), 0);
	assert_int_equal(store_user_put(store, &user), 0);
	int64_t id = user.user_id;
	assert_true(id > 0);
	snprintf(user.password_hash, sizeof(user.password_hash), "h2");
	user.role = STORE_ROLE_ADMIN;
	user.user_id = 0;
	assert_int_equal(store_user_put(store, &user), 0);
	assert_int_equal(user.user_id, id);
	assert_int_equal(store_user_get(store, "ann", &got), 1);
	assert_string_equal(got.password_hash, "h2");
	assert_int_equal(got.role, STORE_ROLE_ADMIN);
	assert_int_equal(got.user_id, id);
	assert_int_equal(store_user_get(store, "Ann", &got), 0);
	assert_int_equal(store_user_count(store), 1);
}

static void test_keys(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	struct store_key key = {.tenant_id = 1, .name = "first", .hash = {1}}, got;
	uint8_t unknown[32] = {9};
	assert_int_equal(store_key_put(store, &key), 0);
	assert_true(key.key_id > 0);
	assert_int_equal(store_key_get(store, key.hash, &got), 1);
	assert_false(got.revoked);
	assert_string_equal(got.name, "first");
	assert_memory_equal(got.hash, key.hash, sizeof(key.hash));
	assert_int_equal(store_key_get(store, unknown, &got), 0);
	key.revoked = true;
	assert_int_equal(store_key_put(store, &key), 0);
	assert_int_equal(store_key_get(store, key.hash, &got), 1);
	assert_true(got.revoked);
	struct store_key twin = {.tenant_id = 1, .name = "twin", .hash = {1}};
	assert_true(store_key_put(store, &twin) < 0);
	struct store_key absent = {.key_id = 77, .tenant_id = 1, .hash = {2}};
	assert_true(store_key_put(store, &absent) < 0);
	assert_int_equal(store_key_count(store), 1);
}

static void test_settings(void **state)
{
	struct fixture *f = *state;
	char value[8];
	assert_int_equal(store_setting_get(f->store, "s", value, sizeof(value)), 0);
	assert_int_equal(store_setting_put(f->store, "s", "abc\0d", 5), 0);
	fixture_reopen(f);
	assert_int_equal(store_setting_get(f->store, "s", value, sizeof(value)), 5);
	assert_memory_equal(value, "abc\0d", 5);
	assert_int_equal(store_setting_get(f->store, "s", value, 4), -EMSGSIZE);
	assert_int_equal(store_setting_put(f->store, "s", "z", 1), 0);
	assert_int_equal(store_setting_get(f->store, "s", value, 1), 1);
}

static void test_descriptors(void **state)
{
	struct store *store = ((struct fixture *)*state)->store;
	uint8_t hash[32] = {1}, *got = NULL;
	size_t len = 0;
	assert_int_equal(store_descriptors_get(store, hash, &got, &len), 0);
	assert_int_equal(store_descriptors_put(store, hash, (const uint8_t *)"set", 3), 0);
	assert_int_equal(store_descriptors_put(store, hash, (const uint8_t *)"other", 5), 0);
	assert_int_equal(store_descriptors_get(store, hash, &got, &len), 1);
	assert_int_equal(len, 3);
	assert_memory_equal(got, "set", 3);
	free(got);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(test_hostname_suffixes),
		WITH_STORE(test_longest_hostname_takes_a_suffix),
		WITH_STORE(test_suffix_does_not_cut_a_character),
		WITH_STORE(test_key_and_tenant_bind),
		WITH_STORE(test_update_keeps_what_it_should),
		WITH_STORE(test_injection),
		WITH_STORE(test_users),
		WITH_STORE(test_keys),
		WITH_STORE(test_settings),
		WITH_STORE(test_descriptors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
