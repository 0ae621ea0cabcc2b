#include "agent/collectors/proc_net_dev.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>

#define HEADINGS                                                                                                       \
	"Inter-|   Receive                                                |  Transmit\n"                               \
	" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls\n"

static const char good[] = HEADINGS "    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
				    "  eth0:179458867 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n";

static int parse(const char *text, struct net_dev_row *ret)
{
	size_t len = strlen(text);
	char *copy = exact_copy(text, len);
	struct proc_net_dev_reader reader;
	int n = 0, r = proc_net_dev_reader(copy, len, &reader);
	while (r >= 0 && (r = proc_net_dev_next(&reader, ret)) > 0)
		n++;
	free(copy);
	return r < 0 ? r : n;
}

static void test_good(void **state)
{
	struct proc_net_dev_reader reader;
	struct net_dev_row row;
	assert_int_equal(proc_net_dev_reader(good, sizeof(good) - 1, &reader), 0);
	assert_int_equal(proc_net_dev_next(&reader, &row), 1);
	assert_int_equal(row.name_len, 2);
	assert_memory_equal(row.name, "lo", 2);
	for (unsigned i = 0; i < NET_DEV_VALUES; i++)
		assert_int_equal(row.values[i], i + 1);
	assert_int_equal(proc_net_dev_next(&reader, &row), 1);
	assert_memory_equal(row.name, "eth0", 4);
	assert_int_equal(row.values[NET_DEV_RECEIVE_BYTES], 179458867);
	assert_int_equal(proc_net_dev_next(&reader, &row), 0);
}

static void test_forms(void **state)
{
	struct net_dev_row row;
	assert_int_equal(parse(HEADINGS, &row), 0);
	assert_int_equal(parse(HEADINGS "a: 18446744073709551615 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18\n", &row),
			 1);
	assert_true(row.values[0] == UINT64_MAX);
	assert_int_equal(parse(HEADINGS "a: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"
					"a: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
			       &row),
			 2);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"Inter-|   Receive\n",
		"some\nthing\n",
		HEADINGS "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", /* cut */
		HEADINGS "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n",
		HEADINGS "eth0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
		HEADINGS ": 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
		HEADINGS "eth0: -1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
		HEADINGS "eth0: 18446744073709551616 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
		HEADINGS "\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct net_dev_row row = {.name_len = 77};
		if (parse(bad[i], &row) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
		assert_int_equal(row.name_len, 77);
	}
}

static void survive(const char *text, size_t len)
{
	struct proc_net_dev_reader reader;
	struct net_dev_row row;
	int r = proc_net_dev_reader(text, len, &reader), n = 0;
	while (r >= 0 && (r = proc_net_dev_next(&reader, &row)) > 0) {
		assert_true(row.name >= text && row.name + row.name_len <= text + len);
		assert_true(row.name_len > 0 && ++n < 10);
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
