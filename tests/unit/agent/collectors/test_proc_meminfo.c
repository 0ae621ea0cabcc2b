#include "agent/collectors/proc_meminfo.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>

static const char good[] = "MemTotal:       1000 kB\n"
			   "MemFree:         100 kB\n"
			   "MemAvailable:    400 kB\n"
			   "Cached:           50 kB\n"
			   "Active(anon):     11 kB\n"
			   "SwapTotal:         0 kB\n"
			   "NewThing:         99 kB\n"
			   "HugePages_Total:   3\n"
			   "Hugepagesize:   2048 kB\n";

static int parse(const char *text, Sonde__V1__Memory *ret)
{
	size_t len = strlen(text);
	char *copy = exact_copy(text, len);
	int r = proc_meminfo_parse(copy, len, ret);
	free(copy);
	return r;
}

static void test_good(void **state)
{
	Sonde__V1__Memory m = SONDE__V1__MEMORY__INIT;
	assert_int_equal(parse(good, &m), 0);
	assert_int_equal(m.total_bytes, 1000 * 1024);
	assert_int_equal(m.free_bytes, 100 * 1024);
	assert_int_equal(m.used_bytes, 600 * 1024);
	assert_int_equal(m.active_anonymous_bytes, 11 * 1024);
	assert_int_equal(m.huge_pages_total, 3);
	assert_int_equal(m.huge_page_size_bytes, 2048 * 1024);
	/* Zero is there, absent is not. */
	assert_true(m.has_swap_total_bytes && m.swap_total_bytes == 0);
	assert_false(m.has_swap_free_bytes);
	assert_false(m.has_active_bytes);
}

static void test_order_does_not_matter(void **state)
{
	Sonde__V1__Memory m = SONDE__V1__MEMORY__INIT;
	assert_int_equal(parse("AnonHugePages: 4 kB\nMemTotal: 2 kB\nBuffers: 1 kB\n", &m), 0);
	assert_int_equal(m.anonymous_huge_bytes, 4096);
	assert_int_equal(m.total_bytes, 2048);
	assert_int_equal(m.buffers_bytes, 1024);
	assert_false(m.has_used_bytes); /* no estimate of what is available */
}

static void test_available_above_total(void **state)
{
	Sonde__V1__Memory m = SONDE__V1__MEMORY__INIT;
	assert_int_equal(parse("MemTotal: 2 kB\nMemAvailable: 3 kB\n", &m), 0);
	assert_true(m.has_used_bytes && m.used_bytes == 0);
}

static void test_largest(void **state)
{
	Sonde__V1__Memory m = SONDE__V1__MEMORY__INIT;
	assert_int_equal(parse("MemTotal: 18014398509481983 kB\n", &m), 0);
	assert_true(m.total_bytes == UINT64_MAX - 1023);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"MemFree: 100 kB\n",		    /* no total */
		"MemTotal: 1000 kB",		    /* cut */
		"MemTotal: 1000\n",		    /* no unit */
		"MemTotal: 1000 MB\n",		    /* another unit */
		"MemTotal: -1000 kB\n",		    /* sign */
		"MemTotal: 18014398509481984 kB\n", /* 2^64 bytes */
		"MemTotal: 99999999999999999999 kB\n",
		"MemTotal 1000 kB\n", /* no colon */
		"MemTotal: kB\n",
		"MemTotal: 1 kB\nMemTotal: 1 kB\n", /* twice */
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		Sonde__V1__Memory m = SONDE__V1__MEMORY__INIT;
		if (parse(bad[i], &m) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
		assert_false(m.has_total_bytes);
	}
}

static void survive(const char *text, size_t len)
{
	Sonde__V1__Memory m = SONDE__V1__MEMORY__INIT;
	int r = proc_meminfo_parse(text, len, &m);
	assert_true(r == -EPROTO || (r == 0 && m.has_total_bytes));
}

static void test_torture(void **state)
{
	exact_torture(good, survive);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_order_does_not_matter),
		cmocka_unit_test(test_available_above_total),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
