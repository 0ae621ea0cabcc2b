#include "agent/collectors/psi.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>

static const char good[] = "some avg10=0.56 avg60=1.47 avg300=100.00 total=2620543968\n"
			   "full avg10=0.00 avg60=0.05 avg300=0.00 total=7\n";

static int parse(const char *text, struct psi *ret)
{
	size_t len = strlen(text);
	char *copy = exact_copy(text, len);
	int r = psi_parse(copy, len, ret);
	free(copy);
	return r;
}

static void test_good(void **state)
{
	struct psi p;
	assert_int_equal(parse(good, &p), 0);
	assert_true(p.some.there && p.full.there);
	assert_float_equal(p.some.avg10_ratio, 0.0056, 1e-12);
	assert_float_equal(p.some.avg60_ratio, 0.0147, 1e-12);
	assert_float_equal(p.some.avg300_ratio, 1, 0);
	assert_true(p.some.total_us == 2620543968);
	assert_float_equal(p.full.avg60_ratio, 0.0005, 1e-12);
	assert_true(p.full.total_us == 7);
}

static void test_one_line(void **state)
{
	struct psi p;
	assert_int_equal(parse("some avg10=1.00 avg60=1.00 avg300=1.00 total=9\n", &p), 0); /* cpu before 5.13 */
	assert_true(p.some.there && !p.full.there);
	assert_int_equal(parse("full avg10=1.00 avg60=1.00 avg300=1.00 total=9\n", &p), 0); /* irq */
	assert_true(!p.some.there && p.full.there);
}

static void test_extra(void **state)
{
	struct psi p;
	assert_int_equal(parse("most x\nsome avg1=9.99 avg10=1.00 avg60=2.00 avg300=3.00 total=9 more=rubbish\n", &p),
			 0);
	assert_float_equal(p.some.avg10_ratio, 0.01, 1e-12);
	assert_true(p.some.total_us == 9);
}

static void test_largest(void **state)
{
	struct psi p;
	assert_int_equal(parse("some avg10=100.01 avg60=18446744073709551615.00 avg300=0.999999999 "
			       "total=18446744073709551615\n",
			       &p),
			 0);
	assert_true(p.some.total_us == UINT64_MAX);
	assert_float_equal(p.some.avg10_ratio, 1, 0);
	assert_float_equal(p.some.avg60_ratio, 1, 0);
	assert_float_equal(p.some.avg300_ratio, 0.00999999999, 1e-15);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"most avg10=1.00 avg60=1.00 avg300=1.00 total=9\n",
		"some avg10=1.00 avg60=1.00 avg300=1.00 total=9", /* cut */
		"some\n",
		"some avg10=1.00 avg60=1.00 avg300=1.00\n",
		"some avg10=1.00 avg60=1.00 total=9\n",
		"some avg10=1 avg60=1.00 avg300=1.00 total=9\n",
		"some avg10=-1.00 avg60=1.00 avg300=1.00 total=9\n",
		"some avg10=nan avg60=1.00 avg300=1.00 total=9\n",
		"some avg10=.50 avg60=1.00 avg300=1.00 total=9\n",
		"some avg10=1. avg60=1.00 avg300=1.00 total=9\n",
		"some avg10=1.00 avg60=1.00 avg300=1.00 total=9.0\n",
		"some avg10=1.00 avg60=1.00 avg300=1.00 total=\n",
		"some avg10=1.00 avg60=1.00 avg300=1.00 total=18446744073709551616\n",
		"some avg10=1.00 avg60=1.00 avg300=1.00 total=9 total=9\n",
		"some avg10=1.00 avg60=1.00 avg300=1.00 total\n",
		"some avg10=1.00 avg60=1.00 avg300=1.00 total=9\nsome avg10=1.00 avg60=1.00 avg300=1.00 total=9\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct psi p = {.some = {.total_us = 42}};
		if (parse(bad[i], &p) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
		assert_true(p.some.total_us == 42);
	}
}

static void test_message(void **state)
{
	struct arena *arena = arena_new(1 << 16), *small = arena_new(1);
	struct psi p;
	assert_int_equal(parse("full avg10=50.00 avg60=25.00 avg300=12.50 total=9\n", &p), 0);
	const Sonde__V1__PressureStall *m = psi_message(&p, arena);
	assert_non_null(m);
	assert_null(m->some);
	assert_true(m->full->has_avg10_ratio && m->full->has_avg60_ratio && m->full->has_avg300_ratio);
	assert_float_equal(m->full->avg10_ratio, 0.5, 0);
	assert_float_equal(m->full->avg60_ratio, 0.25, 0);
	assert_float_equal(m->full->avg300_ratio, 0.125, 0);
	assert_true(m->full->has_total_us && m->full->total_us == 9);
	assert_null(psi_message(&p, small));
	arena_free(arena);
	arena_free(small);
}

static void survive(const char *text, size_t len)
{
	struct psi p;
	int r = psi_parse(text, len, &p);
	assert_true(r == -EPROTO || (r == 0 && (p.some.there || p.full.there)));
}

static void test_torture(void **state)
{
	exact_torture(good, survive);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	cmocka_unit_test(test_one_line), cmocka_unit_test(test_extra),
		cmocka_unit_test(test_largest), cmocka_unit_test(test_refused),	 cmocka_unit_test(test_message),
		cmocka_unit_test(test_torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
