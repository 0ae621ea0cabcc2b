#include "fixture.h"

#include "common/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct seen_outside {
	const struct fixture *fixture;
	int64_t rows;
	struct waiter waiter;
};

static void look_from_outside(void *arg, int error, const enum store_fate *fates, size_t n)
{
	struct seen_outside *s = arg;
	s->rows = fixture_ask(s->fixture, "SELECT count(*) FROM hot");
	waiter_done(&s->waiter, error, fates, n);
}

static void test_callback_comes_after_the_commit(void **state)
{
	struct fixture *f = *state;
	struct seen_outside s = {.fixture = f};
	waiter_init(&s.waiter);
	struct store_snapshot snapshots[] = {make_snapshot(1, "one"), make_snapshot(2, "two")};
	assert_int_equal(store_append(f->store, host_a, run_1, snapshots, 2, look_from_outside, &s), 0);
	waiter_wait(&s.waiter, 1, 10);
	assert_int_equal(s.rows, 2);
	assert_int_equal(s.waiter.n, 2);
	assert_int_equal(s.waiter.fates[0], STORE_ACCEPTED);
	assert_int_equal(s.waiter.fates[1], STORE_ACCEPTED);
}

static void test_payloads_are_copied(void **state)
{
	struct fixture *f = *state;
	struct waiter w;
	waiter_init(&w);
	char payload[] = "before";
	struct store_snapshot s = make_snapshot(1, payload);
	assert_int_equal(store_append(f->store, host_a, run_1, &s, 1, waiter_done, &w), 0);
	memcpy(payload, "after!", 6);
	waiter_wait(&w, 1, 10);
	uint8_t *stored = NULL, hash[32];
	size_t len = 0;
	int64_t received = 0;
	assert_int_equal(store_latest(f->store, host_a, &stored, &len, hash, &received), 1);
	assert_int_equal(len, 6);
	assert_memory_equal(stored, "before", 6);
	assert_memory_equal(hash, s.descriptor_hash, 32);
	assert_int_equal(received, s.received_us);
	free(stored);
}

static void test_duplicates_and_conflicts(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(append_one(f->store, host_a, run_1, 7, "seven"), STORE_ACCEPTED);
	assert_int_equal(append_one(f->store, host_a, run_1, 7, "seven"), STORE_DUPLICATE);
	assert_int_equal(append_one(f->store, host_a, run_1, 7, "other"), STORE_CONFLICT);
	assert_int_equal(append_one(f->store, host_a, run_2, 7, "other"), STORE_ACCEPTED);
	assert_int_equal(append_one(f->store, host_b, run_1, 7, "other"), STORE_ACCEPTED);
	fixture_reopen(f);
	assert_int_equal(append_one(f->store, host_a, run_1, 7, "seven"), STORE_DUPLICATE);
	assert_int_equal(append_one(f->store, host_a, run_1, 7, ""), STORE_CONFLICT);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM hot"), 3);
}

static void test_duplicates_inside_one_batch(void **state)
{
	struct fixture *f = *state;
	struct waiter w;
	waiter_init(&w);
	struct store_snapshot s[] = {make_snapshot(1, "a"), make_snapshot(1, "a"), make_snapshot(1, "b"),
				     make_snapshot(2, "")};
	assert_int_equal(store_append(f->store, host_a, run_1, s, 4, waiter_done, &w), 0);
	waiter_wait(&w, 1, 10);
	assert_int_equal(w.fates[0], STORE_ACCEPTED);
	assert_int_equal(w.fates[1], STORE_DUPLICATE);
	assert_int_equal(w.fates[2], STORE_CONFLICT);
	assert_int_equal(w.fates[3], STORE_ACCEPTED);
	assert_durable(f->store, host_a, run_1, "1-2");
}

static void test_empty_batch(void **state)
{
	struct fixture *f = *state;
	struct waiter w;
	waiter_init(&w);
	assert_int_equal(store_append(f->store, host_a, run_1, NULL, 0, waiter_done, &w), 0);
	waiter_wait(&w, 1, 10);
	assert_int_equal(w.error, 0);
	assert_int_equal(w.n, 0);
}

/* A host nobody registered fails alone, and nothing of its batch is stored. */
static void test_unregistered_host(void **state)
{
	struct fixture *f = *state;
	static const uint8_t stranger[16] = "stranger";
	struct waiter w, good;
	waiter_init(&w);
	waiter_init(&good);
	struct store_snapshot s[] = {make_snapshot(1, "a"), make_snapshot(2, "b")};
	assert_int_equal(store_append(f->store, stranger, run_1, s, 2, waiter_done, &w), 0);
	assert_int_equal(store_append(f->store, host_a, run_1, s, 2, waiter_done, &good), 0);
	waiter_wait(&w, 1, 10);
	waiter_wait(&good, 1, 10);
	assert_int_equal(w.error, -ENOENT);
	assert_int_equal(good.error, 0);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM hot"), 2);
	assert_durable(f->store, host_a, run_1, "1-2");
}

static void test_ranges_merge(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint64_t sequence;
		const char *expected;
	} steps[] = {
		{5, "5-5"},
		{7, "5-5 7-7"},
		{6, "5-7"},
		{1, "1-1 5-7"},
		{3, "1-1 3-3 5-7"},
		{2, "1-3 5-7"},
		{4, "1-7"},
		{0, "0-7"},
		{9223372036854775808u, "0-7 9223372036854775808-9223372036854775808"},
		{9223372036854775807u,
		 "0-7 9223372036854775807-9223372036854775807 9223372036854775808-9223372036854775808"},
		{18446744073709551615u,
		 "0-7 9223372036854775807-9223372036854775807 9223372036854775808-9223372036854775808 "
		 "18446744073709551615-18446744073709551615"},
		{9223372036854775809u,
		 "0-7 9223372036854775807-9223372036854775807 9223372036854775808-9223372036854775809 "
		 "18446744073709551615-18446744073709551615"},
	};
	assert_durable(f->store, host_a, run_1, "");
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		assert_int_equal(append_one(f->store, host_a, run_1, steps[i].sequence, "x"), STORE_ACCEPTED);
		assert_durable(f->store, host_a, run_1, steps[i].expected);
	}
	assert_durable(f->store, host_a, run_2, "");
	assert_durable(f->store, host_b, run_1, "");
}

/* Any order, cut into any batches, must give what a plain set gives. */
static void test_ranges_against_a_model(void **state)
{
	struct fixture *f = *state;
	enum { SPAN = 300, ROUNDS = 60, MOST = 20 };
	bool model[SPAN + 1] = {false};
	char payloads[SPAN + 1][12];
	unsigned seed = 4711;
	for (int round = 0; round < ROUNDS; round++) {
		struct store_snapshot s[MOST];
		bool known[MOST];
		size_t n = 1 + (size_t)rand_r(&seed) % MOST;
		int at = rand_r(&seed) % SPAN;
		for (size_t i = 0; i < n; i++) {
			int sequence = rand_r(&seed) % 3 ? at++ % SPAN : rand_r(&seed) % SPAN;
			snprintf(payloads[sequence], sizeof(payloads[sequence]), "p%d", sequence);
			s[i] = make_snapshot((uint64_t)sequence, payloads[sequence]);
			known[i] = model[sequence];
			model[sequence] = true;
		}
		struct waiter w;
		waiter_init(&w);
		assert_int_equal(store_append(f->store, host_a, run_1, s, n, waiter_done, &w), 0);
		waiter_wait(&w, 1, 10);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(w.fates[i], known[i] ? STORE_DUPLICATE : STORE_ACCEPTED);
	}
	struct store_range *ranges = NULL;
	size_t n = 0, next = 0;
	assert_int_equal(store_durable(f->store, host_a, run_1, &ranges, &n), 0);
	for (int i = 0; i <= SPAN; i++) {
		bool begins = i < SPAN && model[i] && (i == 0 || !model[i - 1]);
		bool ended = i > 0 && model[i - 1] && (i == SPAN || !model[i]);
		if (ended)
			assert_int_equal(ranges[next++].last, i - 1);
		if (begins) {
			assert_true(next < n);
			assert_int_equal(ranges[next].first, i);
		}
	}
	assert_int_equal(next, n);
	free(ranges);
}

static void append_at(struct store *store, uint64_t sequence, const char *payload, int64_t agent_us,
		      int64_t received_us)
{
	struct waiter w;
	waiter_init(&w);
	struct store_snapshot s = make_snapshot(sequence, payload);
	s.agent_us = agent_us;
	s.received_us = received_us;
	assert_int_equal(store_append(store, host_a, run_1, &s, 1, waiter_done, &w), 0);
	waiter_wait(&w, 1, 10);
	assert_int_equal(w.fates[0], STORE_ACCEPTED);
}

static void test_latest(void **state)
{
	struct fixture *f = *state;
	uint8_t *payload = NULL, hash[32];
	size_t len = 0;
	int64_t received = 0, now = clock_wall_us();
	assert_int_equal(store_latest(f->store, host_a, &payload, &len, hash, &received), 0);
	append_at(f->store, 2, "live", now + 1, now + 1);
	assert_latest(f->store, host_a, "live");
	append_at(f->store, 3, "backfill", now - 1000, now + 2);
	assert_latest(f->store, host_a, "live");
	append_at(f->store, 4, "next", now + 5, now + 5);
	assert_latest(f->store, host_a, "next");
	assert_int_equal(store_latest(f->store, host_b, &payload, &len, hash, &received), 0);
}

static void test_swept_sequence_is_a_duplicate(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(append_one(f->store, host_a, run_1, 1, "x"), STORE_ACCEPTED);
	fixture_ask(f, "DELETE FROM hot");
	assert_int_equal(append_one(f->store, host_a, run_1, 1, "anything"), STORE_DUPLICATE);
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM hot"), 0);
}

struct from_callback {
	struct store *store;
	int put;
	int append;
	int64_t users;
	struct waiter waiter;
	struct waiter inner;
};

static void calls_back(void *arg, int error, const enum store_fate *fates, size_t n)
{
	struct from_callback *c = arg;
	struct store_snapshot s = make_snapshot(2, "from the callback");
	c->put = store_setting_put(c->store, "x", "y", 1);
	c->append = store_append(c->store, host_a, run_1, &s, 1, waiter_done, &c->inner);
	c->users = store_user_count(c->store);
	waiter_done(&c->waiter, error, fates, n);
}

static void test_calls_from_a_callback(void **state)
{
	struct fixture *f = *state;
	struct from_callback c = {.store = f->store};
	waiter_init(&c.waiter);
	waiter_init(&c.inner);
	struct store_snapshot s = make_snapshot(1, "x");
	assert_int_equal(store_append(f->store, host_a, run_1, &s, 1, calls_back, &c), 0);
	waiter_wait(&c.waiter, 1, 10);
	waiter_wait(&c.inner, 1, 10);
	assert_int_equal(c.put, 0);
	assert_int_equal(c.append, 0);
	assert_int_equal(c.users, 0);
	assert_durable(f->store, host_a, run_1, "1-2");
}

static void test_close_writes_what_is_queued(void **state)
{
	struct fixture *f = *state;
	struct waiter w;
	waiter_init(&w);
	for (uint64_t i = 1; i <= 500; i++) {
		struct store_snapshot s = make_snapshot(i, "payload");
		assert_int_equal(store_append(f->store, host_a, run_1, &s, 1, waiter_done, &w), 0);
	}
	store_close(f->store);
	f->store = NULL;
	assert_int_equal(w.calls, 500);
	assert_int_equal(w.error, 0);
	fixture_open(f);
	assert_durable(f->store, host_a, run_1, "1-500");
}

struct appender {
	struct store *store;
	uint8_t host[16];
	struct waiter waiter;
};

static void *append_many(void *arg)
{
	struct appender *a = arg;
	for (uint64_t i = 1; i <= 200; i++) {
		char payload[32];
		snprintf(payload, sizeof(payload), "%d-%d", a->host[0], (int)i);
		struct store_snapshot s = make_snapshot(i, payload);
		int result;
		while ((result = store_append(a->store, a->host, run_1, &s, 1, waiter_done, &a->waiter)) == -EAGAIN)
			usleep(1000);
		if (result < 0)
			return a;
	}
	return NULL;
}

static void test_many_threads(void **state)
{
	struct fixture *f = *state;
	enum { THREADS = 8 };
	struct appender a[THREADS];
	pthread_t threads[THREADS];
	for (uint8_t i = 0; i < THREADS; i++) {
		char name[8];
		snprintf(name, sizeof(name), "t%d", i);
		a[i] = (struct appender){.store = f->store, .host = {i}};
		register_host(f->store, a[i].host, name);
		waiter_init(&a[i].waiter);
		assert_int_equal(pthread_create(&threads[i], NULL, append_many, &a[i]), 0);
	}
	for (int i = 0; i < 50; i++) {
		struct store_host host = {
			.host_id = {200}, .tenant_id = 1, .key_id = 1, .hostname = "busy", .last_seen_us = i};
		assert_int_equal(store_host_register(f->store, &host), 0);
		struct store_host *hosts = NULL;
		size_t n = 0;
		assert_int_equal(store_hosts(f->store, &hosts, &n), 0);
		assert_int_equal(n, THREADS + 3);
		store_hosts_free(hosts, n);
	}
	for (int i = 0; i < THREADS; i++) {
		void *failed = NULL;
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
		waiter_wait(&a[i].waiter, 200, 20);
		assert_durable(f->store, a[i].host, run_1, "1-200");
	}
	assert_int_equal(fixture_ask(f, "SELECT count(*) FROM hot"), 200 * THREADS);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(test_callback_comes_after_the_commit),
		WITH_STORE(test_payloads_are_copied),
		WITH_STORE(test_duplicates_and_conflicts),
		WITH_STORE(test_duplicates_inside_one_batch),
		WITH_STORE(test_ranges_merge),
		WITH_STORE(test_ranges_against_a_model),
		WITH_STORE(test_latest),
		WITH_STORE(test_empty_batch),
		WITH_STORE(test_unregistered_host),
		WITH_STORE(test_swept_sequence_is_a_duplicate),
		WITH_STORE(test_calls_from_a_callback),
		WITH_STORE(test_close_writes_what_is_queued),
		WITH_STORE(test_many_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
