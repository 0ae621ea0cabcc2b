#include "agent/collectors/proc_vmstat.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>

#define PAGE 4096

static const char good[] = "nr_free_pages 123\n"
			   "pgpgin 10\n"
			   "pgpgout 20\n"
			   "pswpin 3\n"
			   "pswpout 4\n"
			   "pgalloc_dma 1\n"
			   "pgalloc_normal 100\n"
			   "pgfree 90\n"
			   "pgfault 7\n"
			   "pgmajfault 2\n"
			   "pgsteal_kswapd 5\n"
			   "pgscan_direct 6\n"
			   "pgscan_direct_throttle 99\n"
			   "oom_kill 1\n";

static int parse(const char *text, Sonde__V1__Vmstat *ret)
{
	size_t len = strlen(text);
	char *copy = exact_copy(text, len);
	int r = proc_vmstat_parse(copy, len, PAGE, ret);
	free(copy);
	return r;
}

static void test_good(void **state)
{
	Sonde__V1__Vmstat v = SONDE__V1__VMSTAT__INIT;
	assert_int_equal(parse(good, &v), 0);
	assert_int_equal(v.page_in_bytes, 10 * 1024);
	assert_int_equal(v.page_out_bytes, 20 * 1024);
	assert_int_equal(v.swap_in_bytes, 3 * PAGE);
	assert_int_equal(v.swap_out_bytes, 4 * PAGE);
	assert_int_equal(v.pages_allocated, 101); /* all zones */
	assert_int_equal(v.pages_freed, 90);
	assert_int_equal(v.page_faults, 7);
	assert_int_equal(v.major_page_faults, 2);
	assert_int_equal(v.pages_reclaimed_kswapd, 5);
	assert_int_equal(v.pages_scanned_direct, 6); /* not the throttled ones */
	assert_int_equal(v.oom_kills, 1);
	assert_false(v.has_pages_scanned_kswapd);
	assert_false(v.has_pages_reclaimed_direct);
}

static void test_largest(void **state)
{
	Sonde__V1__Vmstat v = SONDE__V1__VMSTAT__INIT;
	assert_int_equal(parse("pgpgin 18446744073709551615\npgfault 18446744073709551615\n"
			       "pgalloc_dma 18446744073709551615\npgalloc_normal 1\n",
			       &v),
			 0);
	assert_true(v.page_in_bytes == UINT64_MAX);
	assert_true(v.page_faults == UINT64_MAX);
	assert_true(v.pages_allocated == UINT64_MAX);
}

static void test_extra_field(void **state)
{
	Sonde__V1__Vmstat v = SONDE__V1__VMSTAT__INIT;
	assert_int_equal(parse("pgfault 7 8 9\nunknown x y\n", &v), 0);
	assert_int_equal(v.page_faults, 7);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"pgpgin 10\n",
		"pgfault 7",
		"pgfault\n",
		"pgfault -7\n",
		"pgfault 7x\n",
		"\n",
		"pgfault 7\npgfault 7\n",
		"pgfault 18446744073709551616\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		Sonde__V1__Vmstat v = SONDE__V1__VMSTAT__INIT;
		if (parse(bad[i], &v) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
		assert_false(v.has_page_faults);
	}
}

static void survive(const char *text, size_t len)
{
	Sonde__V1__Vmstat v = SONDE__V1__VMSTAT__INIT;
	int r = proc_vmstat_parse(text, len, PAGE, &v);
	assert_true(r == -EPROTO || (r == 0 && v.has_page_faults));
}

static void test_torture(void **state)
{
	exact_torture(good, survive);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	cmocka_unit_test(test_largest), cmocka_unit_test(test_extra_field),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
