#include "agent/collectors/sys_node.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>

static const char good[] = "Node 3 MemTotal:       10184908 kB\n"
			   "Node 3 MemFree:         9279632 kB\n"
			   "Node 3 Active(anon):       1568 kB\n"
			   "Node 3 FilePages:        387712 kB\n"
			   "Node 3 NewOne:               12 kB\n"
			   "Node 3 HugePages_Surp:        2\n";

static const char stats[] = "numa_hit 226086038\nnuma_miss 1\nnuma_foreign 2\ninterleave_hit 1136\n"
			    "local_node 226086030\nother_node 8\nnew_one 7\n";

typedef int parser(const char *text, size_t len, Sonde__V1__MemoryNode *ret);

static int parse(parser *with, const char *text, Sonde__V1__MemoryNode *ret)
{
	size_t len = strlen(text);
	char *copy = exact_copy(text, len);
	int r = with(copy, len, ret);
	free(copy);
	return r;
}

static void test_good(void **state)
{
	Sonde__V1__MemoryNode n = SONDE__V1__MEMORY_NODE__INIT;
	assert_int_equal(parse(sys_node_meminfo_parse, good, &n), 0);
	assert_true(n.has_node && n.node == 3);
	assert_true(n.total_bytes == 10184908ull * 1024);
	assert_true(n.free_bytes == 9279632ull * 1024);
	assert_true(n.active_anonymous_bytes == 1568 * 1024);
	assert_true(n.file_bytes == 387712 * 1024);
	assert_int_equal(n.huge_pages_surplus, 2);
	assert_false(n.has_slab_bytes || n.has_pages_hit);
	assert_int_equal(parse(sys_node_numastat_parse, stats, &n), 0);
	assert_int_equal(n.pages_hit, 226086038);
	assert_int_equal(n.pages_missed, 1);
	assert_int_equal(n.pages_foreign, 2);
	assert_int_equal(n.pages_interleaved, 1136);
	assert_int_equal(n.pages_local, 226086030);
	assert_int_equal(n.pages_other, 8);
	assert_true(n.total_bytes == 10184908ull * 1024); /* both in one message */
}

static void test_largest(void **state)
{
	Sonde__V1__MemoryNode n = SONDE__V1__MEMORY_NODE__INIT;
	assert_int_equal(parse(sys_node_meminfo_parse, "Node 4294967295 MemTotal: 18014398509481983 kB\n", &n), 0);
	assert_true(n.node == UINT32_MAX && n.total_bytes == UINT64_MAX - 1023);
	assert_int_equal(parse(sys_node_numastat_parse, "numa_hit 18446744073709551615\n", &n), 0);
	assert_true(n.pages_hit == UINT64_MAX);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"\n",
		"MemTotal: 1 kB\n",
		"Node 0 MemFree: 1 kB\n", /* no total */
		"Node 0 MemTotal: 1 kB",
		"Node 0 MemTotal: 1\n",
		"Node x MemTotal: 1 kB\n",
		"Node 4294967296 MemTotal: 1 kB\n",
		"Node 0 MemTotal: 18014398509481984 kB\n",
		"Node 0 MemTotal: 1 kB\nNode 1 MemFree: 1 kB\n",
		"Node 0 MemTotal: 1 kB\nNode 0 MemTotal: 1 kB\n",
	};
	static const char *const bad_stats[] = {
		"",
		"\n",
		"numa_miss 1\n",
		"numa_hit 1",
		"numa_hit\n",
		"numa_hit -1\n",
		"numa_hit 1\nnuma_hit 1\n",
		"numa_hit 18446744073709551616\n",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		Sonde__V1__MemoryNode n = SONDE__V1__MEMORY_NODE__INIT;
		if (parse(sys_node_meminfo_parse, bad[i], &n) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
		assert_false(n.has_node || n.has_total_bytes);
	}
	for (size_t i = 0; i < sizeof(bad_stats) / sizeof(bad_stats[0]); i++) {
		Sonde__V1__MemoryNode n = SONDE__V1__MEMORY_NODE__INIT;
		if (parse(sys_node_numastat_parse, bad_stats[i], &n) != -EPROTO)
			fail_msg("accepted: %s", bad_stats[i]);
		assert_false(n.has_pages_hit);
	}
}

static void survive(const char *text, size_t len)
{
	Sonde__V1__MemoryNode n = SONDE__V1__MEMORY_NODE__INIT;
	int r = sys_node_meminfo_parse(text, len, &n);
	assert_true(r == -EPROTO || (r == 0 && n.has_node && n.has_total_bytes));
	r = sys_node_numastat_parse(text, len, &n);
	assert_true(r == -EPROTO || (r == 0 && n.has_pages_hit));
}

static void test_torture(void **state)
{
	exact_torture(good, survive);
	exact_torture(stats, survive);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_torture),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
