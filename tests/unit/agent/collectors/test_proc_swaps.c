#include "agent/collectors/proc_swaps.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>

#define HEADINGS "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"

static const char good[] = HEADINGS "/dev/dm-1                               partition\t1998844\t\t512\t\t-2\n"
				    "/swap\\040file                            file\t\t4096\t\t0\t\t32767\n";

static void test_good(void **state)
{
	struct proc_swaps_reader reader;
	struct swap_row row;
	size_t len = strlen(good);
	char *copy = exact_copy(good, len);
	assert_int_equal(proc_swaps_reader(copy, len, &reader), 0);
	assert_int_equal(proc_swaps_next(&reader, &row), 1);
	assert_true(word_is(row.device, "/dev/dm-1") && word_is(row.type, "partition"));
	assert_int_equal(row.size_kib, 1998844);
	assert_int_equal(row.used_kib, 512);
	assert_int_equal(row.priority, -2);
	assert_int_equal(proc_swaps_next(&reader, &row), 1);
	assert_true(word_is(row.device, "/swap\\040file") && word_is(row.type, "file"));
	assert_int_equal(row.priority, 32767);
	assert_int_equal(proc_swaps_next(&reader, &row), 0);
	free(copy);
}

static void test_rows(void **state)
{
	static const struct {
		const char *text;
		int result;
	} rows[] = {
		{"", 0},
		{"/a file 1 0 -1\n", 1},
		{"/a file 18446744073709551615 18446744073709551615 2147483647 more\n", 1},
		{"/a file 1 0 -1", -EPROTO}, /* cut */
		{"\n", -EPROTO},
		{"/a file 1 0\n", -EPROTO},
		{"/a file 1 0 -\n", -EPROTO},
		{"/a file 1 0 --1\n", -EPROTO},
		{"/a file 1 0 2147483648\n", -EPROTO},
		{"/a file -1 0 1\n", -EPROTO},
		{"/a file 1 18446744073709551616 1\n", -EPROTO},
		{"/a b file 1 0 1\n", -EPROTO}, /* the kernel escapes it */
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[256] = HEADINGS;
		memcpy(text + strlen(HEADINGS), rows[i].text, strlen(rows[i].text) + 1);
		struct proc_swaps_reader reader;
		struct swap_row row = {.priority = 42};
		assert_int_equal(proc_swaps_reader(text, strlen(text), &reader), 0);
		if (proc_swaps_next(&reader, &row) != rows[i].result)
			fail_msg("not as it should be: %s", rows[i].text);
		if (rows[i].result < 0)
			assert_int_equal(row.priority, 42);
	}
}

static void test_not_swaps(void **state)
{
	static const char *const bad[] = {"", "\n", "Filename", "/dev/dm-1 partition 1 0 -2\n"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct proc_swaps_reader reader;
		assert_int_equal(proc_swaps_reader(bad[i], strlen(bad[i]), &reader), -EPROTO);
	}
}

static void survive(const char *text, size_t len)
{
	struct proc_swaps_reader reader;
	struct swap_row row;
	if (proc_swaps_reader(text, len, &reader) < 0)
		return;
	while (proc_swaps_next(&reader, &row) > 0)
		assert_true(row.device.text >= text && row.device.text + row.device.len <= text + len);
}

static void test_torture(void **state)
{
	exact_torture(good, survive);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_not_swaps),
		cmocka_unit_test(test_torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
