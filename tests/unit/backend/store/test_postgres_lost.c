/* Rows of PostgreSQL on pages that cannot be read: they are told one by one, all others are read, sealed and freed, and
 * what comes finds a place. Run by tests/integration/store/test_damage.py, which overwrites pages while the server is
 * stopped, in parts: "fill", then "look" where pages of the table were, or "index" where one of an index was. */
#include "fixture.h"

#include "backend/store/store_ops.h"
#include "common/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 300 /* of each host */
#define ROUND 4
#define PAYLOAD_BYTES 400 /* some thirteen rows a page */
#define SECOND_US 1000000ll

/* All in one hour that is over. */
static int64_t first_us(void)
{
	return (clock_wall_us() / FIXTURE_HOUR_US - 2) * FIXTURE_HOUR_US;
}

static struct store_snapshot snapshot_of(int64_t begin_us, bool second, uint64_t sequence)
{
	static char payload[PAYLOAD_BYTES + 1];
	memset(payload, 'r', PAYLOAD_BYTES);
	struct store_snapshot s = make_snapshot(sequence, payload);
	s.received_us = begin_us + (int64_t)sequence * 2 * SECOND_US + second * SECOND_US;
	s.agent_us = s.received_us - 1000;
	return s;
}

/* Pages have rows of both hosts. */
static void fill(void **state)
{
	struct fixture *f = *state;
	struct waiter w;
	int64_t begin_us = first_us();
	waiter_init(&w);
	for (uint64_t sequence = 1; sequence <= ROWS; sequence += ROUND) {
		for (uint64_t i = 0; i < 2 * ROUND; i++) {
			bool second = i >= ROUND;
			struct store_snapshot s = snapshot_of(begin_us, second, sequence + i % ROUND);
			assert_int_equal(
				store_append(f->store, second ? host_b : host_a, run_1, &s, 1, waiter_done, &w), 0);
		}
		waiter_wait(&w, (size_t)(sequence - 1 + ROUND) * 2, 10);
	}
}

struct seen {
	int64_t begin_us; /* as the rows that can be read say */
	bool second, backwards, heads;
	unsigned char whole[ROWS + 1], lost[ROWS + 1];
	size_t n_whole, n_lost, n;
	int64_t last_us;
	int64_t lost_us[ROWS]; /* in turn; which they are is known when a whole one has been seen */
};

static int see(void *arg, const struct store_row *row)
{
	struct seen *seen = arg;
	assert_true(seen->n == 0 || (seen->backwards ? row->agent_us < seen->last_us : row->agent_us > seen->last_us));
	seen->last_us = row->agent_us;
	seen->n++;
	assert_int_equal(row->lost, row->damaged);
	if (row->lost) {
		assert_int_equal(row->len, 1);
		seen->lost_us[seen->n_lost++] = row->agent_us;
		return 0;
	}
	assert_in_range(row->sequence, 1, ROWS);
	if (!seen->heads)
		assert_int_equal(row->len, PAYLOAD_BYTES);
	seen->begin_us = row->agent_us + 1000 - (int64_t)row->sequence * 2 * SECOND_US - seen->second * SECOND_US;
	seen->whole[row->sequence]++;
	seen->n_whole++;
	return 0;
}

/* Each row is whole, or told where it was, to the microsecond. */
static void check_all_are_told(struct seen *seen)
{
	for (size_t i = 0; i < seen->n_lost; i++) {
		int64_t since_us = seen->lost_us[i] + 1000 - seen->begin_us - seen->second * SECOND_US;
		assert_int_equal(since_us % (2 * SECOND_US), 0);
		assert_in_range(since_us, 2 * SECOND_US, ROWS * 2 * SECOND_US);
		seen->lost[since_us / 2 / SECOND_US]++;
	}
	for (size_t i = 1; i <= ROWS; i++)
		assert_int_equal(seen->whole[i] + seen->lost[i], 1);
}

static struct seen look_at(struct fixture *f, const uint8_t host[16], bool second)
{
	struct seen seen = {.second = second};
	assert_int_equal(store_snapshots_between(f->store, host, INT64_MIN, INT64_MAX, false, see, &seen), 0);
	check_all_are_told(&seen);
	return seen;
}

/* The same in every other way. */
static void look_again(struct fixture *f, const uint8_t host[16], const struct seen *up)
{
	struct seen down = {.second = up->second, .backwards = true}, some = {.second = up->second};
	struct seen heads = {.second = up->second, .heads = true}, list = heads;
	struct store_view *view;
	assert_int_equal(store_view_open(f->store, &view), 0);
	assert_int_equal(store_view_rows(view, host, INT64_MIN, INT64_MAX, true, see, &down), 0);
	assert_int_equal(store_view_row_heads(view, host, INT64_MIN, INT64_MAX, 100, see, &heads), 0);
	assert_int_equal(store_view_row_heads(view, host, INT64_MIN, INT64_MAX, 0, see, &list), 0);
	/* Between two of them. */
	if (up->n_lost > 1) {
		int64_t from_us = up->lost_us[0] + 1, to_us = up->lost_us[1] - 1;
		assert_int_equal(store_view_rows(view, host, from_us, to_us, false, see, &some), 0);
		assert_int_equal(some.n_lost, 0);
	}
	store_view_close(view);
	check_all_are_told(&down);
	check_all_are_told(&heads);
	check_all_are_told(&list);
}

static void test_what_can_be_read_is(void **state)
{
	struct fixture *f = *state;
	struct seen a = look_at(f, host_a, false), b = look_at(f, host_b, true);
	look_again(f, host_a, &a);
	print_message("lost are %zu and %zu of %d rows\n", a.n_lost, b.n_lost, ROWS);
	assert_in_range(a.n_lost, 4, 60);
	assert_in_range(b.n_lost, 4, 60);
}

/* The newest are lost as well. */
static void test_the_newest_that_can_be_read(void **state)
{
	struct fixture *f = *state;
	struct seen a = look_at(f, host_a, false);
	uint8_t *payload = NULL, hash[32];
	size_t len = 0;
	int64_t received_us = 0, newest_us = 0;
	for (int64_t i = 1; i <= ROWS; i++)
		newest_us = a.whole[i] ? a.begin_us + i * 2 * SECOND_US : newest_us;
	assert_int_equal(store_latest(f->store, host_a, &payload, &len, hash, &received_us), 1);
	assert_int_equal(len, PAYLOAD_BYTES);
	assert_true(received_us == newest_us);
	free(payload);
}

/* To the hour whose last page is damaged. */
static void test_what_comes_finds_a_place(void **state)
{
	struct fixture *f = *state;
	struct seen a = look_at(f, host_a, false);
	struct store_snapshot s = snapshot_of(a.begin_us, false, ROWS + 1);
	struct waiter w;
	waiter_init(&w);
	assert_int_equal(store_append(f->store, host_a, run_1, &s, 1, waiter_done, &w), 0);
	waiter_wait(&w, 1, 20);
	assert_int_equal(w.error, 0);
	assert_int_equal(w.fates[0], STORE_ACCEPTED);
	assert_durable(f->store, host_a, run_1, "1-301");
	/* Of a lost one nobody can say that it was another. */
	for (uint64_t sequence = 1; sequence <= ROWS; sequence++) {
		if (!a.whole[sequence] || sequence == 1) {
			s = snapshot_of(a.begin_us, false, sequence);
			assert_int_equal(store_append(f->store, host_a, run_1, &s, 1, waiter_done, &w), 0);
			waiter_wait(&w, w.calls + 1, 20);
			assert_int_equal(w.fates[0], STORE_DUPLICATE);
		}
	}
	char sql[128];
	snprintf(sql, sizeof(sql), "DELETE FROM sonde.hot WHERE received_us >= %lld",
		 (long long)(a.begin_us + FIXTURE_HOUR_US));
	fixture_ask(f, sql);
	fixture_ask(f, "UPDATE sonde.streams SET last = 300");
}

static size_t unsealed_rows(struct fixture *f, const uint8_t host[16])
{
	struct store_unsealed *unsealed = NULL;
	size_t n = 0, rows = 0;
	assert_int_equal(store_unsealed(f->store, &unsealed, &n), 0);
	for (size_t i = 0; i < n; i++)
		rows += memcmp(unsealed[i].host_id, host, 16) == 0 ? (size_t)unsealed[i].rows : 0;
	free(unsealed);
	return rows;
}

static bool has_rows(struct fixture *f)
{
	return fixture_ask(f, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'sonde.hot'::regclass AND"
			      " (SELECT pg_relation_size(inhrelid)) > 0") > 0;
}

static void expire(struct fixture *f)
{
	void *engine = NULL;
	char *line = NULL;
	assert_int_equal(store_postgres.open(f->url, &engine, &line), 0);
	assert_true(store_postgres.expire(engine, 500) >= 0);
	store_postgres.close(engine);
}

/* A seal counts what can be read, and the hour goes when nothing of that is left to seal. */
static void test_sealing_goes_on(void **state)
{
	struct fixture *f = *state;
	struct seen a = look_at(f, host_a, false), b = look_at(f, host_b, true);
	struct store_usage usage;
	int64_t half_us = a.begin_us + ROWS * SECOND_US, end_us = a.begin_us + FIXTURE_HOUR_US;
	size_t half = 0;
	for (size_t i = 1; i <= ROWS / 2; i++)
		half += a.whole[i];
	assert_int_equal(store_seal(f->store, host_a, INT64_MIN, half_us, half + 1, NULL, NULL, 0), -ESTALE);
	assert_int_equal(store_seal(f->store, host_a, INT64_MIN, half_us, half, NULL, NULL, 0), 0);
	assert_int_equal(unsealed_rows(f, host_a), a.n_whole - half);
	assert_int_equal(store_seal(f->store, host_b, INT64_MIN, end_us, b.n_whole, NULL, NULL, 0), 0);
	assert_int_equal(unsealed_rows(f, host_b), 0);
	expire(f);
	assert_true(has_rows(f));
	assert_int_equal(store_seal(f->store, host_a, half_us, end_us - SECOND_US, a.n_whole - half, NULL, NULL, 0), 0);
	assert_int_equal(unsealed_rows(f, host_a), 0);
	assert_int_equal(store_usage(f->store, &usage), 0);
	assert_int_equal(usage.rows, 0);
	assert_int_equal(usage.damaged_tables, 1); /* however many pages */
	expire(f);
	assert_false(has_rows(f));
	struct seen nothing = {.n = 0};
	assert_int_equal(store_snapshots_between(f->store, host_a, INT64_MIN, INT64_MAX, false, see, &nothing), 0);
	assert_int_equal(nothing.n, 0);
}

static void test_nothing_is_lost_with_an_index(void **state)
{
	struct fixture *f = *state;
	struct seen a = look_at(f, host_a, false), b = look_at(f, host_b, true);
	look_again(f, host_b, &b);
	assert_int_equal(a.n_lost + b.n_lost, 0);
	assert_int_equal(a.n_whole + b.n_whole, 2 * ROWS);
}

#define DAMAGED(test) cmocka_unit_test_setup_teardown(test, fixture_setup_as_it_is, fixture_teardown_as_it_is)

int main(int argc, char **argv)
{
	const struct CMUnitTest filling[] = {cmocka_unit_test_setup_teardown(fill, fixture_setup, fixture_teardown)};
	const struct CMUnitTest looking[] = {
		DAMAGED(test_what_can_be_read_is),
		DAMAGED(test_the_newest_that_can_be_read),
		DAMAGED(test_what_comes_finds_a_place),
		DAMAGED(test_sealing_goes_on),
	};
	const struct CMUnitTest by_table[] = {
		DAMAGED(test_nothing_is_lost_with_an_index),
		DAMAGED(test_the_newest_that_can_be_read),
		DAMAGED(test_what_comes_finds_a_place),
		DAMAGED(test_sealing_goes_on),
	};
	if (!fixture_on_postgres() || argc != 2) {
		print_message("run by tests/integration/store/test_damage.py\n");
		return 77;
	}
	if (strcmp(argv[1], "fill") == 0)
		return cmocka_run_group_tests(filling, NULL, NULL);
	return strcmp(argv[1], "index") == 0 ? cmocka_run_group_tests(by_table, NULL, NULL)
					     : cmocka_run_group_tests(looking, NULL, NULL);
}
