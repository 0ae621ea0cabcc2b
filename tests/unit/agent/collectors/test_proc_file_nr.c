#include "agent/collectors/proc_file_nr.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>

static int parse(const char *text, struct proc_file_nr *ret)
{
	size_t len = strlen(text);
	char *copy = exact_copy(text, len);
	int r = proc_file_nr_parse(copy, len, ret);
	free(copy);
	return r;
}

static void test_good(void **state)
{
	struct proc_file_nr f;
	assert_int_equal(parse("1024\t0\t9223372036854775807\n", &f), 0);
	assert_int_equal(f.used, 1024);
	assert_true(f.max == INT64_MAX);
	assert_int_equal(parse("1024\t24\t4096\t7\n", &f), 0); /* Linux 2.4, and a field more */
	assert_int_equal(f.used, 1000);
	assert_int_equal(f.max, 4096);
	assert_int_equal(parse("18446744073709551615 0 18446744073709551615\n", &f), 0);
	assert_true(f.used == UINT64_MAX && f.max == UINT64_MAX);
	assert_int_equal(parse("1 2 3\n", &f), 0);
	assert_int_equal(f.used, 0);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"", "\n", "1024\n", "1024 0\n", "1024\t0\t4096", "-1 0 4096\n", "a b c\n", "18446744073709551616 0 1\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct proc_file_nr f = {.used = 42};
		if (parse(bad[i], &f) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(f.used, 42);
	}
}

static void survive(const char *text, size_t len)
{
	struct proc_file_nr f;
	int r = proc_file_nr_parse(text, len, &f);
	assert_true(r == 0 || r == -EPROTO);
}

static void test_torture(void **state)
{
	exact_torture("1024\t0\t9223372036854775807\n", survive);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
