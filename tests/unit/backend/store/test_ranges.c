/* Ranges in memory against a plain set, with what the database would be told: rows put and rows deleted must give, on
 * the rows that were there, the same ranges. */
#include "backend/store/stream_ranges.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SPAN = 120 };

struct row {
	int64_t first, last;
};

static void assert_ranges(const struct stream_ranges *r, const bool set[SPAN])
{
	size_t next = 0;
	for (int i = 0; i < SPAN; i++) {
		assert_int_equal(stream_ranges_has(r, i), set[i]);
		if (set[i] && (i == 0 || !set[i - 1]))
			assert_int_equal(r->ranges[next].first, i);
		if (set[i] && (i + 1 == SPAN || !set[i + 1]))
			assert_int_equal(r->ranges[next++].last, i);
	}
	assert_int_equal(next, r->n);
}

/* Does to the rows what the engine would do. */
static size_t apply(const struct stream_ranges *r, struct row *rows, size_t n)
{
	for (size_t i = 0; i < r->n_gone; i++) {
		size_t k = 0;
		while (k < n && rows[k].first != r->gone[i])
			k++;
		assert_true(k < n);
		rows[k] = rows[--n];
	}
	for (size_t i = 0; i < r->n; i++) {
		size_t k = 0;
		while (k < n && rows[k].first != r->ranges[i].first)
			k++;
		assert_int_equal(k < n, r->ranges[i].stored);
		if (!r->ranges[i].changed)
			continue;
		rows[k] = (struct row){r->ranges[i].first, r->ranges[i].last};
		n += k == n;
	}
	return n;
}

static int by_first(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	return x->first < y->first ? -1 : x->first > y->first;
}

static void test_against_a_set(void **state)
{
	unsigned seed = 815;
	for (int life = 0; life < 40; life++) {
		struct stream_ranges r = {0};
		struct row rows[SPAN];
		bool set[SPAN] = {false};
		size_t n = 0;
		for (int transaction = 0; transaction < 12; transaction++) {
			stream_ranges_reset(&r);
			qsort(rows, n, sizeof(rows[0]), by_first);
			for (size_t i = 0; i < n; i++)
				assert_int_equal(stream_ranges_load(&r, rows[i].first, rows[i].last), 0);
			for (int i = 0; i < 14; i++) {
				int sequence = rand_r(&seed) % SPAN;
				if (set[sequence])
					continue;
				set[sequence] = true;
				assert_int_equal(stream_ranges_add(&r, sequence), 0);
			}
			assert_ranges(&r, set);
			n = apply(&r, rows, n);
			assert_int_equal(n, r.n);
		}
		stream_ranges_free(&r);
	}
}

static void test_the_ends_do_not_join(void **state)
{
	struct stream_ranges r = {0};
	const int64_t sequences[] = {INT64_MIN, -1, 0, INT64_MAX, INT64_MIN + 1, INT64_MAX - 1, -2, 1};
	for (size_t i = 0; i < sizeof(sequences) / sizeof(sequences[0]); i++) {
		assert_false(stream_ranges_has(&r, sequences[i]));
		assert_int_equal(stream_ranges_add(&r, sequences[i]), 0);
		assert_true(stream_ranges_has(&r, sequences[i]));
	}
	assert_int_equal(r.n, 4);
	assert_int_equal(r.ranges[0].first, INT64_MIN);
	assert_int_equal(r.ranges[0].last, INT64_MIN + 1);
	assert_int_equal(r.ranges[1].last, -1);
	assert_int_equal(r.ranges[2].first, 0);
	assert_int_equal(r.ranges[3].last, INT64_MAX);
	stream_ranges_free(&r);
	stream_ranges_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_a_set),
		cmocka_unit_test(test_the_ends_do_not_join),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
