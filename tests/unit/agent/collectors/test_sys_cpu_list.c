#include "agent/collectors/sys_cpu_list.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>

#define MAX 8

static int parse(const char *text, uint32_t numbers[MAX], uint32_t *ret)
{
	size_t len = strlen(text);
	char *copy = exact_copy(text, len);
	int r = sys_cpu_list_parse(copy, len, numbers, MAX, ret);
	free(copy);
	return r;
}

static void test_good(void **state)
{
	static const struct {
		const char *text;
		uint32_t count;
		uint32_t numbers[MAX];
	} cases[] = {
		{"0\n", 1, {0}},
		{"0-3\n", 4, {0, 1, 2, 3}},
		{"0-1,4,6-7\n", 5, {0, 1, 4, 6, 7}},
		{"\n", 0, {0}}, /* no CPU is offline */
		{"5-5\n", 1, {5}},
		{"0-9\n", 10, {0, 1, 2, 3, 4, 5, 6, 7}}, /* more than there is room for */
		{"6,8-4294967294\n", 4294967288, {6, 8, 9, 10, 11, 12, 13, 14}},
		{"0\n1\n", 1, {0}}, /* a line more */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t numbers[MAX] = {0}, count;
		if (parse(cases[i].text, numbers, &count) != 0)
			fail_msg("refused: %s", cases[i].text);
		assert_int_equal(count, cases[i].count);
		assert_memory_equal(numbers, cases[i].numbers, sizeof(numbers));
		uint32_t again;
		assert_int_equal(sys_cpu_list_count(cases[i].text, strlen(cases[i].text), &again), 0);
		assert_int_equal(again, count);
	}
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",	   "0-3",    "0-\n",	       "-3\n",	       "0,\n",
		",0\n",	   "0,,1\n", "3-0\n",	       "1,0\n",	       "0-2,2\n",
		"0,0\n",   "a\n",    "0-4294967295\n", "4294967295\n", "18446744073709551616\n",
		"0-1-2\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint32_t numbers[MAX], count = 42;
		if (parse(bad[i], numbers, &count) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(count, 42);
	}
}

static void survive(const char *text, size_t len)
{
	uint32_t numbers[MAX], count;
	int r = sys_cpu_list_parse(text, len, numbers, MAX, &count);
	assert_true(r == 0 || r == -EPROTO);
}

static void test_torture(void **state)
{
	exact_torture("0-3,8,10-11\n", survive);
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
