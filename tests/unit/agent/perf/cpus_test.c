#include "agent/perf/cpus.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int parse(const char *text, struct cpu_set *ret)
{
	return cpu_set_parse(text, strlen(text), ret);
}

static void lists_of_the_kernel(void **state)
{
	struct cpu_set set;
	assert_int_equal(parse("0-1\n", &set), 0);
	assert_true(cpu_set_has(&set, 0) && cpu_set_has(&set, 1) && !cpu_set_has(&set, 2));
	assert_int_equal(cpu_set_limit(&set), 2);
	assert_int_equal(parse("0,2-3,64,127-129", &set), 0);
	assert_true(!cpu_set_has(&set, 1) && cpu_set_has(&set, 64) && cpu_set_has(&set, 128));
	assert_int_equal(cpu_set_limit(&set), 130);
	assert_int_equal(parse("4095\n", &set), 0);
	assert_int_equal(cpu_set_limit(&set), PERF_MAX_CPUS);
	assert_false(cpu_set_has(&set, PERF_MAX_CPUS));
	assert_int_equal(parse("\n", &set), 0);
	assert_int_equal(cpu_set_limit(&set), 0);
	assert_int_equal(parse("", &set), 0);
}

static void anything_else_leaves_the_result_alone(void **state)
{
	const char *wrong[] = {"a",   "0-",   "-1",   "1-0",	     "0,",     ",0",
			       "0 1", "0--1", "4096", "99999999999", "0-4096", "0\n\n"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct cpu_set set = {{42}};
		assert_int_equal(parse(wrong[i], &set), -EPROTO);
		assert_int_equal(set.bits[0], 42);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_of_the_kernel),
		cmocka_unit_test(anything_else_leaves_the_result_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
