#include "backend/columns/integers.h"
#include "tests/unit/backend/columns/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MANY 3000

static struct integers_plan round_trip(const uint64_t *values, size_t n)
{
	static int64_t residuals[MANY];
	static uint64_t back[MANY];
	struct buf bytes BUF_CLEANUP = BUF_INIT(1024);
	struct integers_plan plan = integers_plan(values, n), read;
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
		cmocka_unit_test(extremes_come_back),
		cmocka_unit_test(anything_comes_back),
		cmocka_unit_test(plans_of_others_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
