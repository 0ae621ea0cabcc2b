#include "agent/collectors/proc_meminfo.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>

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

/* A kernel with everything: each line's value is its number, so that no two can be mistaken for one another. */
static void test_modern_kernel(void **state)
{
	static const char *const keys[] = {
		"MemTotal",	  "Zswap",	   "Zswapped",	      "KReclaimable",	   "SecPageTables",
		"NFS_Unstable",	  "Bounce",	   "WritebackTmp",    "VmallocTotal",	   "VmallocUsed",
		"VmallocChunk",	  "Percpu",	   "EarlyMemtestBad", "HardwareCorrupted", "ShmemHugePages",
		"ShmemPmdMapped", "FileHugePages", "FilePmdMapped",   "CmaTotal",	   "CmaFree",
		"Unaccepted",	  "Balloon",	   "Hugetlb",	      "DirectMap4k",	   "DirectMap2M",
		"DirectMap4M",	  "DirectMap1G",
	};
	char text[2048];
	size_t len = 0, n = sizeof(keys) / sizeof(keys[0]);
	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s: %zu kB\n", keys[i], i + 1);
	(void)snprintf(text + len, sizeof(text) - len, "HugePages_Rsvd: 7\nHugePages_Surp: 8\nNewOne: 9 kB\n");
	Sonde__V1__Memory m = SONDE__V1__MEMORY__INIT;
	assert_int_equal(parse(text, &m), 0);
	const uint64_t values[] = {
		m.total_bytes,
		m.zswap_bytes,
		m.zswapped_bytes,
		m.kernel_reclaimable_bytes,
		m.secondary_page_tables_bytes,
		m.nfs_unstable_bytes,
		m.bounce_bytes,
		m.fuse_writeback_bytes,
		m.vmalloc_total_bytes,
		m.vmalloc_used_bytes,
		m.vmalloc_chunk_bytes,
		m.percpu_bytes,
		m.early_memtest_bad_bytes,
		m.hardware_corrupted_bytes,
		m.shared_huge_bytes,
		m.shared_huge_mapped_bytes,
		m.file_huge_bytes,
		m.file_huge_mapped_bytes,
		m.cma_total_bytes,
		m.cma_free_bytes,
		m.unaccepted_bytes,
		m.balloon_bytes,
		m.huge_pool_bytes,
		m.direct_map_4k_bytes,
		m.direct_map_2m_bytes,
		m.direct_map_4m_bytes,
		m.direct_map_1g_bytes,
	};
	assert_int_equal(sizeof(values) / sizeof(values[0]), n);
	for (size_t i = 0; i < n; i++) {
		if (values[i] != (i + 1) * 1024)
			fail_msg("%s is %llu", keys[i], (unsigned long long)values[i]);
	}
	assert_int_equal(m.huge_pages_reserved, 7);
	assert_int_equal(m.huge_pages_surplus, 8);
	assert_false(m.has_swap_total_bytes);
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
		cmocka_unit_test(test_modern_kernel),
		cmocka_unit_test(test_order_does_not_matter),
		cmocka_unit_test(test_available_above_total),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
