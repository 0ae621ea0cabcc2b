#include "agent/collectors/proc_vmstat.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>

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
	static struct proc_vmstat_memo empty;
	struct proc_vmstat_memo memo = empty;
	int r = proc_vmstat_parse(copy, len, PAGE, &memo, ret);
	/* What is remembered changes nothing. */
	Sonde__V1__Vmstat again = SONDE__V1__VMSTAT__INIT;
	assert_int_equal(proc_vmstat_parse(copy, len, PAGE, &memo, &again), r);
	assert_memory_equal(&again, r == 0 ? ret : &again, sizeof(again));
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

static void test_more_of_reclaim(void **state)
{
	Sonde__V1__Vmstat v = SONDE__V1__VMSTAT__INIT;
	assert_int_equal(parse("pgfault 1\npgscan_direct_throttle 9\nallocstall_normal 2\nallocstall_movable 3\n"
			       "thp_split_page 4\nthp_split_page_failed 5\nworkingset_refault_anon 6\n"
			       "workingset_refault_file 7\nzswpin 2\nnr_dirty_threshold 10\npgdemote_kswapd 3\n"
			       "pglazyfree 11\npglazyfreed 12\ncompact_stall 13\ndrop_pagecache 14\n",
			       &v),
			 0);
	assert_int_equal(v.direct_reclaims_throttled, 9);
	assert_int_equal(v.direct_reclaims, 5);
	assert_int_equal(v.thp_splits, 4);
	assert_int_equal(v.thp_split_failures, 5);
	assert_int_equal(v.refaults_anonymous, 6);
	assert_int_equal(v.refaults_file, 7);
	assert_int_equal(v.zswap_in_bytes, 2 * PAGE);
	assert_int_equal(v.dirty_threshold_bytes, 10 * PAGE);
	assert_int_equal(v.demoted_kswapd_bytes, 3 * PAGE);
	assert_int_equal(v.pages_lazily_freed, 11);
	assert_int_equal(v.pages_lazily_freed_reclaimed, 12);
	assert_int_equal(v.compaction_stalls, 13);
	assert_int_equal(v.page_cache_drops, 14);
	/* Older kernels' names. */
	assert_int_equal(parse("pgfault 1\nallocstall 8\nworkingset_refault 9\nthp_split 10\n", &v), 0);
	assert_int_equal(v.direct_reclaims, 8);
	assert_int_equal(v.refaults_file, 9);
	assert_int_equal(v.thp_splits, 10);
	assert_false(v.has_refaults_anonymous);
}

static void test_lines_change_places(void **state)
{
	static struct proc_vmstat_memo memo;
	static const struct {
		const char *text;
		uint64_t faults, in, allocated;
	} steps[] = {
		{"pgpgin 1\npgalloc_dma 2\nother 0\npgfault 3\n", 3, 1, 2},
		{"pgpgin 4\npgalloc_dma 5\nother 0\npgfault 6\n", 6, 4, 5},
		{"pgpgin 4\npgalloc_d 5\nother 0\npgfault 6\n", 6, 4, 5},      /* the beginning of a name */
		{"pgpgin 4\npgalloc_dma32 5\nother2 0\npgfault 6\n", 6, 4, 5}, /* more than a name */
		{"pgfault 7\npgalloc_dma 8\nother 0\npgpgin 9\n", 7, 9, 8},
		{"pgfault 7\n", 7, 0, 0},
		{"pgpgin 1\npgalloc_dma 2\npgalloc_dma 2\npgfault 3\n", 3, 1, 4},
	};
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		Sonde__V1__Vmstat v = SONDE__V1__VMSTAT__INIT;
		assert_int_equal(proc_vmstat_parse(steps[i].text, strlen(steps[i].text), PAGE, &memo, &v), 0);
		assert_int_equal(v.page_faults, steps[i].faults);
		assert_int_equal(v.page_in_bytes, steps[i].in * 1024);
		assert_int_equal(v.pages_allocated, steps[i].allocated);
	}
}

static void test_more_lines_than_remembered(void **state)
{
	static struct proc_vmstat_memo memo;
	static char text[64 * 1024];
	size_t len = 0;
	for (int i = 0; i < 2 * PROC_VMSTAT_MAX_LINES; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "counter_with_a_long_name_%d 1\n", i);
	len += (size_t)snprintf(text + len, sizeof(text) - len, "pgfault 7\n");
	for (int i = 0; i < 3; i++) {
		Sonde__V1__Vmstat v = SONDE__V1__VMSTAT__INIT;
		assert_int_equal(proc_vmstat_parse(text, len, PAGE, &memo, &v), 0);
		assert_int_equal(v.page_faults, 7);
	}
	assert_true(memo.n <= PROC_VMSTAT_MAX_LINES && memo.used <= PROC_VMSTAT_KEYS_SIZE);
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
	static struct proc_vmstat_memo memo; /* of the text before, which was a little different */
	static struct proc_vmstat_memo empty;
	struct proc_vmstat_memo fresh = empty;
	Sonde__V1__Vmstat w = SONDE__V1__VMSTAT__INIT;
	int r = proc_vmstat_parse(text, len, PAGE, &fresh, &v);
	assert_int_equal(proc_vmstat_parse(text, len, PAGE, &memo, &w), r);
	assert_memory_equal(&v, &w, sizeof(v));
	assert_true(r == -EPROTO || (r == 0 && v.has_page_faults));
}

static void test_torture(void **state)
{
	exact_torture(good, survive);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_more_of_reclaim),
		cmocka_unit_test(test_lines_change_places),
		cmocka_unit_test(test_more_lines_than_remembered),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_extra_field),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
