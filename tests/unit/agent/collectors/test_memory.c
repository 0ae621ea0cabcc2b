/* The memory collector on a made-up host: swap devices, NUMA nodes and huge page pools beside /proc/meminfo. */
#include "agent/collectors/collectors.h"
#include "tests/unit/agent/fixture.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SECOND 1000000ull
#define SWAPS "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
#define NODE "sys/devices/system/node/"
#define POOLS "sys/kernel/mm/hugepages/"

static int setup(void **state)
{
	int r = fixture_setup(state, &collector_memory);
	tree_write(&((struct fixture *)*state)->tree, "proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 600 kB\n");
	return r;
}

static int collect(struct fixture *f, Sonde__V1__Memory *out)
{
	return fixture_collect(f, SECOND, &out->base);
}

static void test_bare(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Memory out;
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.used_bytes, 400 * 1024);
	assert_int_equal(out.n_swap_devices, 0);
	assert_int_equal(out.n_nodes, 0);
	assert_int_equal(out.n_huge_page_pools, 0);
	assert_int_equal(out.n_dram_domains, 0);
}

static void test_swaps(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Memory out;
	tree_write(&f->tree, "proc/swaps", SWAPS);
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_swap_devices, 0);
	tree_write(&f->tree, "proc/swaps",
		   SWAPS
		   "/dev/sda2 partition 100 10 -2\n/swap\\040(deleted) file 7 1 5\n/swap\\040(deleted) file 8 2 4\n"
		   "/bad\xff file 18446744073709551615 0 3\n");
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_swap_devices, 3);
	assert_string_equal(out.swap_devices[0]->device, "/dev/sda2");
	assert_string_equal(out.swap_devices[0]->type, "partition");
	assert_int_equal(out.swap_devices[0]->size_bytes, 100 * 1024);
	assert_int_equal(out.swap_devices[0]->used_bytes, 10 * 1024);
	assert_true(out.swap_devices[0]->has_priority && out.swap_devices[0]->priority == -2);
	assert_int_equal(out.swap_devices[1]->size_bytes, 15 * 1024); /* two files of one name */
	assert_int_equal(out.swap_devices[1]->used_bytes, 3 * 1024);
	assert_string_equal(out.swap_devices[2]->device, "/bad?");
	assert_true(out.swap_devices[2]->size_bytes == UINT64_MAX);
	tree_write(&f->tree, "proc/swaps", SWAPS "/dev/sda2 partition\n");
	assert_int_equal(collect(f, &out), -EPROTO);
	assert_non_null(strstr(f->state.detail, "proc/swaps"));
}

static void write_node(struct fixture *f, int node, int total_kib, int hits)
{
	char path[64], text[128];
	(void)snprintf(path, sizeof(path), NODE "node%d/meminfo", node);
	(void)snprintf(text, sizeof(text), "Node %d MemTotal: %d kB\nNode %d MemFree: 5 kB\n", node, total_kib, node);
	tree_write(&f->tree, path, text);
	(void)snprintf(path, sizeof(path), NODE "node%d/numastat", node);
	(void)snprintf(text, sizeof(text), "numa_hit %d\nother_node 3\n", hits);
	tree_write(&f->tree, path, text);
}

static void test_nodes(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Memory out;
	tree_write(&f->tree, NODE "possible", "0-3\n");
	tree_write(&f->tree, NODE "online", "0,2\n");
	write_node(f, 0, 100, 7);
	write_node(f, 2, 200, 8);
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_nodes, 2);
	assert_int_equal(out.nodes[0]->node, 0);
	assert_int_equal(out.nodes[1]->node, 2);
	assert_int_equal(out.nodes[1]->total_bytes, 200 * 1024);
	assert_int_equal(out.nodes[1]->free_bytes, 5 * 1024);
	assert_int_equal(out.nodes[1]->pages_hit, 8);
	assert_int_equal(out.nodes[1]->pages_other, 3);
	/* Counters at every tick, sizes and which nodes there are every five seconds. */
	write_node(f, 2, 300, 9);
	write_node(f, 1, 400, 1);
	tree_write(&f->tree, NODE "online", "0-2\n");
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_nodes, 2);
	assert_int_equal(out.nodes[1]->pages_hit, 9);
	assert_int_equal(out.nodes[1]->total_bytes, 200 * 1024);
	f->now_us += 5 * SECOND;
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_nodes, 3);
	assert_int_equal(out.nodes[1]->node, 1);
	assert_int_equal(out.nodes[1]->pages_hit, 1);
	assert_int_equal(out.nodes[2]->total_bytes, 300 * 1024);
	assert_int_equal(out.nodes[2]->pages_hit, 9);
	/* A node whose memory is gone, and one without counters. */
	tree_remove(&f->tree, NODE "node0/meminfo");
	tree_remove(&f->tree, NODE "node1/numastat");
	f->now_us += 5 * SECOND;
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_nodes, 2);
	assert_int_equal(out.nodes[0]->node, 1);
	assert_true(out.nodes[0]->has_total_bytes && !out.nodes[0]->has_pages_hit);
	tree_write(&f->tree, NODE "node2/numastat", "numa_hit many\n");
	assert_int_equal(collect(f, &out), -EPROTO);
	assert_non_null(strstr(f->state.detail, "node2/numastat"));
}

static void test_pools(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Memory out;
	tree_write(&f->tree, POOLS "hugepages-2048kB/nr_hugepages", "12\n");
	tree_write(&f->tree, POOLS "hugepages-2048kB/free_hugepages", "3\n");
	tree_write(&f->tree, POOLS "hugepages-2048kB/resv_hugepages", "2\n");
	tree_write(&f->tree, POOLS "hugepages-2048kB/surplus_hugepages", "1\n");
	tree_write(&f->tree, POOLS "hugepages-2048kB/nr_overcommit_hugepages", "9\n");
	tree_write(&f->tree, POOLS "hugepages-64kB/nr_hugepages", "4\n");
	tree_write(&f->tree, POOLS "hugepages-kB/nr_hugepages", "5\n");
	tree_write(&f->tree, POOLS "hugepages-1xkB/nr_hugepages", "5\n");
	tree_write(&f->tree, POOLS "other", "5\n");
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.n_huge_page_pools, 2);
	const Sonde__V1__HugePagePool *small = out.huge_page_pools[0], *large = out.huge_page_pools[1];
	assert_int_equal(small->page_size_bytes, 64 * 1024);
	assert_true(small->has_pages && small->pages == 4 && !small->has_free);
	assert_int_equal(large->page_size_bytes, 2048 * 1024);
	assert_int_equal(large->pages, 12);
	assert_int_equal(large->free, 3);
	assert_int_equal(large->reserved, 2);
	assert_int_equal(large->surplus, 1);
	assert_int_equal(large->surplus_max, 9);
	tree_write(&f->tree, POOLS "hugepages-64kB/nr_hugepages", "6\n");
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.huge_page_pools[0]->pages, 4); /* not due */
	f->now_us += 5 * SECOND;
	assert_int_equal(collect(f, &out), 0);
	assert_int_equal(out.huge_page_pools[0]->pages, 6);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_bare), TEST(test_swaps), TEST(test_nodes), TEST(test_pools)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
