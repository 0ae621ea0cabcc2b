#include "agent/collectors/proc_diskstats.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>

static const char good[] = "   8       0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n"
			   " 259       1 cciss/c0d0 1 2 3 4 5 6 7 8 9 10 11\n";

/* Reads all; the number of rows or an error. The last row is in *ret, its name only valid while the text is. */
static int parse(const char *text, struct diskstats_row *ret)
{
	size_t len = strlen(text);
	char *copy = exact_copy(text, len);
	struct proc_diskstats_reader reader = proc_diskstats_reader(copy, len);
	int n = 0, r;
	while ((r = proc_diskstats_next(&reader, ret)) > 0)
		n++;
	free(copy);
	return r < 0 ? r : n;
}

static void test_good(void **state)
{
	struct diskstats_row row;
	struct proc_diskstats_reader reader = proc_diskstats_reader(good, sizeof(good) - 1);
	assert_int_equal(proc_diskstats_next(&reader, &row), 1);
	assert_int_equal(row.major, 8);
	assert_int_equal(row.minor, 0);
	assert_int_equal(row.name_len, 3);
	assert_memory_equal(row.name, "sda", 3);
	assert_int_equal(row.n_values, DISKSTATS_VALUES);
	for (unsigned i = 0; i < DISKSTATS_VALUES; i++)
		assert_int_equal(row.values[i], i + 1);
	assert_int_equal(proc_diskstats_next(&reader, &row), 1);
	assert_memory_equal(row.name, "cciss/c0d0", 10);
	assert_int_equal(row.n_values, 11);
	assert_int_equal(row.values[DISKSTATS_FLUSHES], 0);
	assert_int_equal(proc_diskstats_next(&reader, &row), 0);
	assert_int_equal(proc_diskstats_next(&reader, &row), 0);
}

static void test_forms(void **state)
{
	struct diskstats_row row;
	assert_int_equal(parse("", &row), 0);
	assert_int_equal(parse("8 0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n", &row), 1);
	assert_int_equal(row.n_values, 15);
	/* A kernel to come appends. */
	assert_int_equal(parse("8 0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19\n", &row), 1);
	assert_int_equal(row.n_values, DISKSTATS_VALUES);
	/* The same twice is the caller's to sort out. */
	assert_int_equal(parse("8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n", &row), 2);
	assert_int_equal(parse("4294967295 4294967295 x 18446744073709551615 2 3 4 5 6 7 8 9 10 11\n", &row), 1);
	assert_true(row.values[0] == UINT64_MAX);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"\n",
		"8 0 sda 1 2 3 4 5 6 7 8 9 10 11",	/* cut */
		"8 0 sda 1 2 3 4 5 6 7 8 9 10\n",	/* too few */
		"8 0 sda 1 2 3 4 5 6 7 8 9 10 11 12\n", /* between two forms */
		"8 0 sda 1 2 3 4 5 6 7 8 9 10 x\n",
		"8 0 sda -1 2 3 4 5 6 7 8 9 10 11\n",
		"8 0\n",
		"8 sda 1 2 3 4 5 6 7 8 9 10 11\n",
		"4294967296 0 sda 1 2 3 4 5 6 7 8 9 10 11\n",
		"8 0 sda 18446744073709551616 2 3 4 5 6 7 8 9 10 11\n",
		"8 0 a123456789b123456789c123456789d123456789e123456789f123456789g123 1 2 3 4 5 6 7 8 9 10 11\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct diskstats_row row = {.major = 77};
		if (parse(bad[i], &row) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(row.major, 77);
	}
}

static void survive(const char *text, size_t len)
{
	struct proc_diskstats_reader reader = proc_diskstats_reader(text, len);
	struct diskstats_row row;
	int r, n = 0;
	while ((r = proc_diskstats_next(&reader, &row)) > 0) {
		assert_true(row.name >= text && row.name + row.name_len <= text + len);
		assert_true(row.name_len > 0 && row.name_len <= DISKSTATS_NAME_MAX && ++n < 10);
	}
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
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
