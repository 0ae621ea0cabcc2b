/* Rows of a host by time: order, bounds, pages and more than one row of a moment; and how many may look at once. */
#include "fixture.h"

#include "common/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct seen {
	int64_t times[256];
	uint64_t sequences[256];
	size_t n, stop_after;
	char last[32];
};

static int see(void *arg, const struct store_row *row)
{
	struct seen *seen = arg;
	seen->times[seen->n] = row->agent_us;
	seen->sequences[seen->n++] = row->sequence;
	assert_memory_equal(row->instance, run_1, 16);
	snprintf(seen->last, sizeof(seen->last), "%.*s", (int)row->len, (const char *)row->payload);
	return seen->stop_after && seen->n == seen->stop_after ? 7 : 0;
}

/* 200 snapshots, a second apart; those after the hundredth are of one moment. */
static void fill(struct fixture *f)
{
	static char payloads[200][16];
	struct store_snapshot snapshots[200];
	struct waiter w;
	waiter_init(&w);
	for (size_t i = 0; i < 200; i++) {
		snprintf(payloads[i], sizeof(payloads[i]), "p%zu", i + 1);
		snapshots[i] = make_snapshot(i + 1, payloads[i]);
		snapshots[i].agent_us = (int64_t)(i < 100 ? i : 100) * 1000000;
	}
	for (size_t i = 0; i < 200; i += 50)
		assert_int_equal(store_append(f->store, host_a, run_1, snapshots + i, 50, waiter_done, &w), 0);
	waiter_wait(&w, 4, 10);
}

static void test_forwards_and_backwards(void **state)
{
	struct fixture *f = *state;
	struct seen up = {0}, down = {0};
	fill(f);
	assert_int_equal(store_snapshots_between(f->store, host_a, INT64_MIN, INT64_MAX, false, see, &up), 0);
	assert_int_equal(store_snapshots_between(f->store, host_a, INT64_MIN, INT64_MAX, true, see, &down), 0);
	assert_int_equal(up.n, 200);
	assert_int_equal(down.n, 200);
	for (size_t i = 0; i < 200; i++) {
		assert_int_equal(up.sequences[i], i + 1);
		assert_int_equal(down.sequences[i], 200 - i);
	}
	assert_string_equal(up.last, "p200");
	assert_string_equal(down.last, "p1");
}

static void test_bounds_are_inclusive(void **state)
{
	struct fixture *f = *state;
	struct seen up = {0}, down = {0}, none = {0};
	fill(f);
	assert_int_equal(store_snapshots_between(f->store, host_a, 5000000, 9000000, false, see, &up), 0);
	assert_int_equal(up.n, 5);
	assert_int_equal(up.times[0], 5000000);
	assert_int_equal(up.times[4], 9000000);
	assert_int_equal(store_snapshots_between(f->store, host_a, 5000001, 9999999, true, see, &down), 0);
	assert_int_equal(down.n, 4);
	assert_int_equal(down.times[0], 9000000);
	assert_int_equal(store_snapshots_between(f->store, host_b, 0, INT64_MAX, false, see, &none), 0);
	assert_int_equal(store_snapshots_between(f->store, run_1, 0, INT64_MAX, false, see, &none), 0);
	assert_int_equal(none.n, 0);
	assert_int_equal(store_snapshots_between(f->store, host_a, 2, 1, false, see, &none), -EINVAL);
}

static void test_the_callback_stops_it(void **state)
{
	struct fixture *f = *state;
	struct seen seen = {.stop_after = 65};
	fill(f);
	assert_int_equal(store_snapshots_between(f->store, host_a, 0, INT64_MAX, false, see, &seen), 7);
	assert_int_equal(seen.n, 65);
}

struct heads {
	struct store_row rows[256];
	size_t n, head;
	struct store_view *view;
};

static int see_head(void *arg, const struct store_row *row)
{
	struct heads *heads = arg;
	char whole[16];
	heads->rows[heads->n++] = *row;
	if (heads->head == 0)
		return 0;
	int len = snprintf(whole, sizeof(whole), "p%d", (int)row->sequence);
	assert_int_equal(row->whole_len, len);
	assert_int_equal(row->len, heads->head < (size_t)len ? heads->head : (size_t)len);
	assert_memory_equal(row->payload, whole, row->len);
	assert_memory_equal(row->instance, run_1, 16);
	assert_false(row->damaged);
	return 0;
}

/* Whoever lists may read meanwhile. */
static int see_listed(void *arg, const struct store_row *row)
{
	struct heads *heads = arg, one = {.head = 3};
	assert_int_equal(
		store_view_row_heads(heads->view, host_a, row->agent_us, row->agent_us, one.head, see_head, &one), 0);
	assert_int_equal(one.n, row->agent_us == 100000000 ? 100 : 1);
	return see_head(arg, row);
}

static void test_beginnings_are_those_of_the_rows_listed(void **state)
{
	struct fixture *f = *state;
	struct heads list = {.n = 0};
	static const size_t lengths[] = {1, 3, 4, 4096, SIZE_MAX};
	fill(f);
	assert_int_equal(store_view_open(f->store, &list.view), 0);
	assert_int_equal(store_view_row_heads(list.view, host_a, INT64_MIN, INT64_MAX, 0, see_listed, &list), 0);
	assert_int_equal(list.n, 200);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct heads heads = {.head = lengths[i]};
		assert_int_equal(
			store_view_row_heads(list.view, host_a, INT64_MIN, INT64_MAX, heads.head, see_head, &heads), 0);
		assert_int_equal(heads.n, 200);
		for (size_t k = 0; k < 200; k++) {
			assert_int_equal(heads.rows[k].sequence, k + 1);
			assert_int_equal(heads.rows[k].id, list.rows[k].id);
			assert_int_equal(heads.rows[k].agent_us, list.rows[k].agent_us);
			assert_int_equal(heads.rows[k].received_us, list.rows[k].received_us);
		}
	}
	for (size_t k = 1; k < 200; k++)
		assert_int_not_equal(list.rows[k].id, list.rows[k - 1].id);
	assert_int_equal(store_view_row_heads(list.view, host_b, INT64_MIN, INT64_MAX, 1, see_head, &list), 0);
	assert_int_equal(store_view_row_heads(list.view, host_a, 2, 1, 0, see_head, &list), -EINVAL);
	assert_int_equal(list.n, 200);
	store_view_close(list.view);
}

/* Who can do without does not wait for those who have them all. */
static void test_a_view_that_is_not_waited_for(void **state)
{
	struct fixture *f = *state;
	struct store_view *views[64], *one = NULL;
	size_t n = 0;
	int r;
	int64_t began_us = clock_wall_us();
	while ((r = store_view_try(f->store, &views[n])) == 0 && n < 63)
		n++;
	assert_int_equal(r, -EBUSY);
	assert_true(n > 2);
	assert_int_equal(store_views_are_cheap(f->store), !fixture_on_postgres());
	/* Each failing look has cost nothing like the ten seconds that others wait. */
	for (int i = 0; i < 20; i++)
		assert_int_equal(store_view_try(f->store, &one), -EBUSY);
	assert_null(one);
	assert_true(clock_wall_us() - began_us < 100 * 1000000ll);
	store_view_close(views[--n]);
	assert_int_equal(store_view_try(f->store, &views[n++]), 0);
	while (n > 0)
		store_view_close(views[--n]);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(test_forwards_and_backwards),
		WITH_STORE(test_bounds_are_inclusive),
		WITH_STORE(test_the_callback_stops_it),
		WITH_STORE(test_beginnings_are_those_of_the_rows_listed),
		WITH_STORE(test_a_view_that_is_not_waited_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
