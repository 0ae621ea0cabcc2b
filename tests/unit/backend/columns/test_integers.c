#include "backend/columns/integers.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MANY 3000

/* By growths alone: what is left of them is a multiple of the factor, which is a power of two. */
static void by_growths(const uint64_t *values, size_t n)
{
	static int64_t growths[MANY];
	static uint64_t back[MANY];
	unsigned shift = 0;
	struct integers_plan plan = integers_growths(values, n, growths, &shift);
	assert_int_equal(plan.factor, 1ull << shift);
	assert_true(plan.form <= INTEGERS_LINEAR || (plan.form == INTEGERS_DELTA && plan.base == 0));
	for (size_t i = 0; i < integers_residuals(plan.form, n); i++) {
		assert_int_equal((uint64_t)growths[i] & (plan.factor - 1), 0);
		growths[i] >>= shift;
	}
	integers_join(&plan, growths, n, back);
	assert_memory_equal(values, back, n * sizeof(*values));
	memcpy(back, values, n * sizeof(*values));
	(void)integers_growths(back, n, (int64_t *)back, &shift); /* in place */
	if (plan.form == INTEGERS_DELTA)
		assert_int_equal((int64_t)back[0] >> shift, growths[0]);
}

static struct integers_plan round_trip_at(const uint64_t *values, size_t n, double *ret_bits)
{
	static int64_t residuals[MANY];
	static uint64_t back[MANY];
	struct buf bytes BUF_CLEANUP = BUF_INIT(1024);
	struct integers_plan plan = integers_plan(values, n, ret_bits), read;
	by_growths(values, n);
	assert_int_equal(integers_plan_put(&plan, &bytes), 0);
	struct wire_reader reader = wire_reader(bytes.data, bytes.len);
	assert_int_equal(integers_plan_take(&reader, &read), 0);
	assert_ptr_equal(reader.p, reader.end);
	integers_split(&plan, values, n, residuals);
	integers_join(&read, residuals, n, back);
	assert_memory_equal(values, back, n * sizeof(*values));
	/* In place, both ways. */
	memcpy(back, values, n * sizeof(*values));
	integers_split(&plan, back, n, (int64_t *)back);
	assert_memory_equal(back, residuals, integers_residuals(plan.form, n) * sizeof(*back));
	integers_join(&read, (int64_t *)back, n, back);
	assert_memory_equal(values, back, n * sizeof(*values));
	return plan;
}

static struct integers_plan round_trip(const uint64_t *values, size_t n)
{
	double bits;
	return round_trip_at(values, n, &bits);
}

static void forms_are_found(void **state)
{
	uint64_t v[1000], seed = 7;
	for (size_t i = 0; i < 1000; i++)
		v[i] = 42;
	assert_int_equal(round_trip(v, 1000).form, INTEGERS_CONSTANT);
	assert_int_equal(round_trip(v, 1).form, INTEGERS_CONSTANT);
	for (size_t i = 0; i < 1000; i++)
		v[i] = UINT64_MAX - 500 + i; /* wraps */
	assert_int_equal(round_trip(v, 1000).form, INTEGERS_LINEAR);
	for (size_t i = 1; i < 1000; i++)
		v[i] = v[i - 1] + 10000 * (190 + fixture_random(&seed) % 20);
	struct integers_plan plan = round_trip(v, 1000);
	assert_int_equal(plan.form, INTEGERS_DELTA);
	assert_int_equal(plan.factor, 10000);
	assert_in_range(plan.base, 1900000, 2100000);
	for (size_t i = 0; i < 1000; i++)
		v[i] = 5 + 3 * (fixture_random(&seed) % 4);
	plan = round_trip(v, 1000);
	assert_int_equal(plan.form, INTEGERS_PLAIN);
	assert_int_equal(plan.factor, 3);
	for (size_t i = 0; i < 1000; i++)
		v[i] = i * i * 7;
	assert_int_equal(round_trip(v, 1000).form, INTEGERS_DELTA2);
}

static uint64_t told(enum integers_form form, uint64_t base, const uint64_t *v, size_t i)
{
	if (form == INTEGERS_PLAIN)
		return v[i] - base;
	uint64_t growth = v[i] - v[i - 1];
	if (form == INTEGERS_DELTA)
		return growth - base;
	return growth - (i > 1 ? v[i - 1] - v[i - 2] : base);
}

static uint64_t size_of(uint64_t v)
{
	return (int64_t)v < 0 ? 0 - v : v;
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

/* What README.md says of the choice, of one form and base, step by step. */
static double reckon(enum integers_form form, uint64_t base, const uint64_t *v, size_t n, uint64_t *ret_factor)
{
	uint64_t factor = 0, below = 0;
	unsigned lengths[65] = {0};
	size_t first = form != INTEGERS_PLAIN;
	double bits = 0;
	for (size_t i = first; i < n; i++) {
		uint64_t a = factor, b = size_of(told(form, base, v, i));
		while (b) {
			uint64_t rest = a % b;
			a = b;
			b = rest;
		}
		factor = a;
	}
	factor = factor ? factor : 1;
	for (size_t i = first; i < n; i++) {
		uint64_t size = size_of(told(form, base, v, i)) / factor;
		unsigned length = size ? 64 - (unsigned)__builtin_clzll(size) : 0;
		lengths[length]++;
		below += length;
	}
	for (size_t i = 0; i < 65; i++) {
		if (lengths[i])
			bits -= lengths[i] * log2((double)lengths[i] / (double)(n - first));
	}
	*ret_factor = factor;
	return bits + (double)below;
}

static uint64_t median(enum integers_form form, const uint64_t *v, size_t n)
{
	uint64_t some[31];
	size_t first = form != INTEGERS_PLAIN, k = n - first < 31 ? n - first : 31;
	for (size_t i = 0; i < k; i++)
		some[i] = told(form, 0, v, first + i * (n - first) / k);
	qsort(some, k, sizeof(some[0]), by_size);
	return some[k / 2];
}

static void the_cheapest_is_taken(void **state)
{
	uint64_t v[300], seed = 17;
	for (int round = 0; round < 2000; round++) {
		size_t n = 3 + fixture_random(&seed) % 297;
		uint64_t factor = fixture_random(&seed) % 3 ? 1 : 1 + fixture_random(&seed) % 5000;
		uint64_t range = 1 + fixture_random(&seed) % (1ull << fixture_random(&seed) % 40), growth = 0;
		for (size_t i = 0; i < n; i++) {
			growth += fixture_random(&seed) % range;
			v[i] = factor * (round % 3 == 0
						 ? fixture_random(&seed) % range
						 : (i ? v[i - 1] / factor : 0) +
							   (round % 3 == 1 ? fixture_random(&seed) % range : growth));
		}
		double cost;
		struct integers_plan plan = round_trip_at(v, n, &cost);
		if (plan.form < INTEGERS_PLAIN)
			continue;
		const struct {
			enum integers_form form;
			uint64_t base;
		} all[] = {{INTEGERS_PLAIN, median(INTEGERS_PLAIN, v, n)},
			   {INTEGERS_PLAIN, 0},
			   {INTEGERS_DELTA, median(INTEGERS_DELTA, v, n)},
			   {INTEGERS_DELTA, 0},
			   {INTEGERS_DELTA2, v[1] - v[0]}};
		double lowest = INFINITY;
		size_t best = 0;
		uint64_t best_factor = 0;
		for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
			uint64_t its_factor;
			double bits = reckon(all[i].form, all[i].base, v, n, &its_factor);
			if (bits >= lowest)
				continue;
			lowest = bits;
			best = i;
			best_factor = its_factor;
		}
		assert_int_equal(plan.form, all[best].form);
		assert_int_equal(plan.base, all[best].base);
		assert_int_equal(plan.factor, best_factor);
		assert_true(fabs(cost - lowest) <= lowest * 1e-12);
	}
}

static void extremes_come_back(void **state)
{
	const uint64_t odd[] = {0, UINT64_MAX, 1ull << 63, (1ull << 63) - 1, 1, (1ull << 63) + 1, UINT64_MAX - 1};
	uint64_t v[64], seed = 11;
	for (int round = 0; round < 3000; round++) {
		size_t n = 1 + fixture_random(&seed) % 12;
		for (size_t i = 0; i < n; i++)
			v[i] = odd[fixture_random(&seed) % (sizeof(odd) / sizeof(odd[0]))];
		round_trip(v, n);
	}
}

static void anything_comes_back(void **state)
{
	static uint64_t v[MANY];
	uint64_t seed = 13;
	for (int round = 0; round < 100; round++) {
		size_t n = 1 + fixture_random(&seed) % MANY;
		uint64_t factor = 1 + (fixture_random(&seed) % 2 ? fixture_value(&seed) : 0);
		v[0] = fixture_value(&seed);
		for (size_t i = 1; i < n; i++)
			v[i] = (fixture_random(&seed) % 2 ? v[i - 1] : 0) + factor * (fixture_random(&seed) % 100);
		round_trip(v, n);
	}
}

static void plans_of_others_are_refused(void **state)
{
	const uint8_t unknown[] = {5, 0, 0, 0}, no_factor[] = {2, 0, 0, 0}, cut[] = {3, 1, 2};
	struct integers_plan plan;
	struct wire_reader reader = wire_reader(unknown, sizeof(unknown));
	assert_int_equal(integers_plan_take(&reader, &plan), -EPROTO);
	reader = wire_reader(no_factor, sizeof(no_factor));
	assert_int_equal(integers_plan_take(&reader, &plan), -EPROTO);
	reader = wire_reader(cut, sizeof(cut));
	assert_int_equal(integers_plan_take(&reader, &plan), -EPROTO);
	reader = wire_reader(NULL, 0);
	assert_int_equal(integers_plan_take(&reader, &plan), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms_are_found),
		cmocka_unit_test(the_cheapest_is_taken),
		cmocka_unit_test(extremes_come_back),
		cmocka_unit_test(anything_comes_back),
		cmocka_unit_test(plans_of_others_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
