#include "agent/collectors/proc_loadavg.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>

static const char good[] = "0.20 1.08 12.34 3/80 11206\n";

static int parse(const char *text, struct proc_loadavg *ret)
{
	size_t len = strlen(text);
	char *copy = exact_copy(text, len);
	int r = proc_loadavg_parse(copy, len, ret);
	free(copy);
	return r;
}

static void test_good(void **state)
{
	struct proc_loadavg load;
	assert_int_equal(parse(good, &load), 0);
	assert_float_equal(load.load1, 0.20, 1e-12);
	assert_float_equal(load.load5, 1.08, 1e-12);
	assert_float_equal(load.load15, 12.34, 1e-12);
	assert_int_equal(load.running, 3);
	assert_int_equal(load.threads, 80);
}

static void test_edges(void **state)
{
	struct proc_loadavg load;
	assert_int_equal(parse("0.00 0.00 0.00 1/18446744073709551615 1 extra\n", &load), 0);
	assert_true(load.threads == UINT64_MAX);
	assert_int_equal(parse("18446744073709551615.99 0.00 0.00 1/2 3\n", &load), 0);
	assert_true(load.load1 > 1e19);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"0.20 1.08 12.34 3/80 11206", /* cut */
		"0.20 1.08 12.34\n",
		"0.20 1.08 12.34 3 80\n",
		"0.20 1,08 12.34 3/80 1\n",
		"0.20 -1.08 12.34 3/80 1\n",
		"0. 1.08 12.34 3/80 1\n",
		".5 1.08 12.34 3/80 1\n",
		"0.1234567890 1.08 12.34 3/80 1\n",
		"0.20 1.08 nan 3/80 1\n",
		"0.20 1.08 12.34 3/18446744073709551616 1\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct proc_loadavg load = {.threads = 7};
		if (parse(bad[i], &load) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(load.threads, 7);
	}
}

static void survive(const char *text, size_t len)
{
	struct proc_loadavg load;
	int r = proc_loadavg_parse(text, len, &load);
	assert_true(r == 0 || r == -EPROTO);
}

static void test_torture(void **state)
{
	exact_torture(good, survive);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
