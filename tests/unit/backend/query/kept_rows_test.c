/* What is kept of rows from one query to the next: while rows come, come late, are sealed, and windows move, the answer
 * is what it is to somebody who keeps nothing, and only rows that are new are read. */
#include "backend/history/seal.h"
#include "tests/unit/backend/query/history.h"
#include "tests/unit/cmocka_all.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N 400

/* Rows that were read, not only listed. */
static atomic_size_t rows_read;

struct counting {
	store_row_fn fn;
	void *arg;
};

static int count(void *arg, const struct store_row *row)
{
	struct counting *c = arg;
	rows_read++;
	return c->fn(c->arg, row);
}

int __real_store_view_row_heads(struct store_view *view, const uint8_t host_id[16], int64_t from_us, int64_t to_us,
				size_t head, store_row_fn fn, void *arg);
int __wrap_store_view_row_heads(struct store_view *view, const uint8_t host_id[16], int64_t from_us, int64_t to_us,
				size_t head, store_row_fn fn, void *arg);
int __wrap_store_view_row_heads(struct store_view *view, const uint8_t host_id[16], int64_t from_us, int64_t to_us,
				size_t head, store_row_fn fn, void *arg)
{
	struct counting c = {.fn = fn, .arg = arg};
	return head == 0 ? __real_store_view_row_heads(view, host_id, from_us, to_us, head, fn, arg)
			 : __real_store_view_row_heads(view, host_id, from_us, to_us, head, count, &c);
}

static const char *const selectors[] = {
	"cpu.load1",   "cpu.cores.user_us",	"cpu.cores.user_us{cpu=\"0\"}", "tcp.families.active_setup_us",
	"custom.jobs", "temperature_of___tage", "processes.processes.cpu_us",
};
#define N_SELECTORS (sizeof(selectors) / sizeof(selectors[0]))

/* Of snapshots [arg >> 16, arg & 0xffff): every seventh comes late. */
static bool in_time(size_t i, size_t arg)
{
	return i >= (arg >> 16) && i < (arg & 0xffff) && i % 7 != 0;
}

static bool late(size_t i, size_t arg)
{
	return i >= (arg >> 16) && i < (arg & 0xffff) && i % 7 == 0;
}

static size_t between(size_t first, size_t end)
{
	return first << 16 | end;
}

/* Rows received up to this moment become chunks. */
static void seal(struct history *h, int64_t upto_us)
{
	struct store_unsealed *hosts;
	struct seal_result result;
	size_t n;
	assert_int_equal(store_unsealed(h->store, &hosts, &n), 0);
	if (n > 0 && hosts[0].sealed_us < upto_us) {
		const struct seal_job job = {.store = h->store,
					     .schemas = h->schemas,
					     .host = &hosts[0],
					     .upto_us = upto_us,
					     .now_us = upto_us};
		assert_int_equal(seal_host(&job, &result), 0);
	}
	free(hosts);
}

static void compare(struct history *h, int64_t from_us, int64_t to_us, const char *when)
{
	for (size_t i = 0; i < N_SELECTORS; i++) {
		struct history_question q = {
			.selector = selectors[i], .from_us = from_us, .to_us = to_us, .step_us = 9000000};
		struct query_cache *cache = h->cache;
		struct recent *recent = h->recent;
		char name[128], errors[2][256] = {"", ""};
		struct range_result a, b;
		snprintf(name, sizeof(name), "%s: %s", when, selectors[i]);
		int x = history_ask(h, &q, &a, errors[0], sizeof(errors[0]));
		h->cache = NULL;
		h->recent = NULL;
		int y = history_ask(h, &q, &b, errors[1], sizeof(errors[1]));
		h->cache = cache;
		h->recent = recent;
		assert_int_equal(x, y);
		if (x < 0)
			continue;
		history_same(&a, &b, 1e-14, name);
		history_same_gaps(&a, &b, name);
		range_result_free(&a);
		range_result_free(&b);
	}
}

/* recent_bytes: what is kept in memory of rows that come; 0: nothing. */
static void whatever_happens(uint64_t seeds, size_t recent_bytes)
{
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		struct history h;
		uint64_t chance = seed;
		size_t end = 0, late_end = 0;
		history_open(&h);
		if (recent_bytes > 0)
			assert_int_equal(recent_new(recent_bytes, &h.recent), 0);
		history_make(&h, seed, seed % 2, N);
		int64_t first_us = h.snapshots[0].tick.time_us, now_us = first_us;
		while (end < N) {
			char when[64];
			size_t more = end + 1 + fixture_random(&chance) % 40;
			more = more < N ? more : N;
			history_put_rows(&h, in_time, between(end, more));
			end = more;
			now_us = h.snapshots[end - 1].tick.time_us;
			int64_t back_us = (int64_t)(fixture_random(&chance) % 400) * 1000000;
			snprintf(when, sizeof(when), "seed %d, %zu rows", (int)seed, end);
			compare(&h, now_us - 300000000, now_us + 1000000, when);
			compare(&h, now_us - back_us - 10000000, now_us + 1000000, when);
			if (fixture_random(&chance) % 4 == 0) {
				history_put_rows(&h, late, between(late_end, end));
				late_end = end;
				compare(&h, now_us - 300000000, now_us + 1000000, "after late ones");
			}
			if (fixture_random(&chance) % 3 == 0) {
				seal(&h, h.snapshots[end - 1].tick.received_us - 20000000);
				compare(&h, now_us - 300000000, now_us - 5000000, "after sealing");
			}
		}
		compare(&h, first_us, now_us + 1000000, "all of it");
		history_close(&h);
	}
}

static void whatever_happens_meanwhile(void **state)
{
	whatever_happens(2, 0);
}

/* All of it is in memory, or some. */
static void whatever_is_in_memory(void **state)
{
	whatever_happens(1, 4 << 20);
	whatever_happens(1, 24 << 10);
}

static size_t read_for(struct history *h, const char *selector, int64_t from_us, int64_t to_us)
{
	struct history_question q = {.selector = selector, .from_us = from_us, .to_us = to_us, .step_us = 9000000};
	rows_read = 0;
	struct range_result result = history_answer(h, &q);
	range_result_free(&result);
	return rows_read;
}

static bool numbered(size_t i, size_t arg)
{
	return i >= (arg >> 16) && i < (arg & 0xffff);
}

static void all_times(const struct history *h, int64_t *ret_from_us, int64_t *ret_to_us)
{
	*ret_from_us = INT64_MAX;
	*ret_to_us = INT64_MIN;
	for (size_t i = 0; i < h->n; i++) {
		int64_t time_us = h->snapshots[i].tick.time_us;
		*ret_from_us = time_us <= *ret_from_us ? time_us - 1000000 : *ret_from_us;
		*ret_to_us = time_us >= *ret_to_us ? time_us + 1000000 : *ret_to_us;
	}
}

static void only_what_is_new_is_read(void **state)
{
	struct history h;
	history_open(&h);
	history_make(&h, 5, false, 120);
	query_cache_free(h.cache);
	assert_int_equal(query_cache_new(8 << 20, &h.cache), 0);
	history_put_rows(&h, numbered, between(0, 100));
	int64_t from_us, to_us;
	all_times(&h, &from_us, &to_us);
	assert_in_range(read_for(&h, "cpu.load1", from_us, to_us), 100, 105);
	assert_int_equal(read_for(&h, "cpu.load1", from_us, to_us), 0);
	/* Other metrics are others'. */
	assert_in_range(read_for(&h, "cpu.cores.user_us", from_us, to_us), 100, 105);
	assert_int_equal(read_for(&h, "cpu.load1", from_us, to_us), 0);
	/* A shorter window, and the long one again. */
	assert_int_equal(read_for(&h, "cpu.load1", from_us + 40000000, to_us), 0);
	assert_int_equal(read_for(&h, "cpu.load1", from_us, to_us), 0);
	history_close(&h);
}

/* What came since somebody asked is in memory, and so is what is always kept; the rest is read. */
static void what_came_lately_is_not_read(void **state)
{
	struct history h;
	history_open(&h);
	history_make(&h, 5, false, 120);
	query_cache_free(h.cache);
	h.cache = NULL;
	assert_int_equal(recent_new(4 << 20, &h.recent), 0);
	history_put_rows(&h, numbered, between(0, 50));
	int64_t from_us, to_us;
	all_times(&h, &from_us, &to_us);
	assert_int_equal(read_for(&h, "cpu.load1", from_us, to_us), 0);
	/* Not every snapshot has the section, and who has not is known. */
	size_t before = read_for(&h, "tcp.families.active_setup_us", from_us, to_us);
	assert_in_range(before, 10, 55);
	history_put_rows(&h, numbered, between(50, 120));
	assert_int_equal(read_for(&h, "cpu.load1", from_us, to_us), 0);
	assert_int_equal(read_for(&h, "tcp.families.active_setup_us", from_us, to_us), before);
	/* Nobody tells these rows apart by their times, nor by what is kept of them. */
	struct history_snapshot *last = &h.snapshots[119];
	for (uint64_t i = 0; i < 2; i++) {
		last->tick.sequence++;
		history_put_rows(&h, numbered, between(119, 120));
	}
	assert_in_range(read_for(&h, "cpu.load1", from_us, to_us), 3, 6);
	history_close(&h);
}

/* --- at once ------------------------------------------------------------------------------------------------------ */

struct asking {
	struct history *h;
	struct history_question question;
	struct range_result expected;
	atomic_bool stop;
	atomic_int asked, wrong;
};

static bool is_same(const struct range_result *a, const struct range_result *b)
{
	if (a->n_groups != b->n_groups || a->points != b->points || a->n_gaps != b->n_gaps)
		return false;
	for (size_t i = 0; i < a->n_groups; i++) {
		for (size_t k = 0; k < a->points; k++) {
			double x = a->groups[i].values[k], y = b->groups[i].values[k];
			if (isnan(x) != isnan(y) || (!isnan(x) && fabs(x - y) > 1e-12 * (fabs(x) + fabs(y))))
				return false;
		}
	}
	return true;
}

static void *ask(void *arg)
{
	struct asking *asking = arg;
	char error[256];
	while (!atomic_load(&asking->stop)) {
		struct range_result result;
		if (history_ask(asking->h, &asking->question, &result, error, sizeof(error)) < 0) {
			asking->wrong++;
			continue;
		}
		asking->wrong += !is_same(&result, &asking->expected);
		asking->asked++;
		range_result_free(&result);
	}
	return NULL;
}

/* One answer, however many ask for it while row after row becomes a chunk. */
static void rows_are_sealed_while_others_ask(void **state)
{
	struct history h;
	struct asking asking = {.h = &h, .question = {.selector = "cpu.cores.user_us", .step_us = 7000000}};
	pthread_t threads[3];
	history_open(&h);
	history_make(&h, 5, false, 240);
	history_put_rows(&h, NULL, 0);
	asking.question.from_us = h.snapshots[0].tick.time_us;
	asking.question.to_us = h.snapshots[239].tick.time_us;
	asking.expected = history_answer(&h, &asking.question);
	assert_true(asking.expected.n_groups > 0 && asking.expected.samples > 200);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask, &asking), 0);
	for (size_t i = 5; i < 240; i += 5) {
		int asked = atomic_load(&asking.asked);
		seal(&h, h.snapshots[i].tick.received_us);
		while (atomic_load(&asking.asked) < asked + 3 && atomic_load(&asking.wrong) == 0)
			usleep(200);
	}
	atomic_store(&asking.stop, true);
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(asking.wrong, 0);
	range_result_free(&asking.expected);
	history_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_happens_meanwhile),	    cmocka_unit_test(whatever_is_in_memory),
		cmocka_unit_test(only_what_is_new_is_read),	    cmocka_unit_test(what_came_lately_is_not_read),
		cmocka_unit_test(rows_are_sealed_while_others_ask),
	};
	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
