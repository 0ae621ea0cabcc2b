/* DRAM traffic over a synthetic tree, laid out as Documentation/filesystems/resctrl.rst says: no machine with it was at
 * hand. */
#include "agent/collectors/dram_domains.h"
#include "agent/lane.h"
#include "tests/unit/agent/exact.h"
#include "tests/unit/agent/tree.h"
#include "tests/unit/cmocka_all.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define SECOND 1000000ull
#define ROOT "sys/fs/resctrl"

struct fixture {
	struct tree tree;
	struct collector_context context;
	struct arena *arena;
	struct dram_domains *self;
	struct collector_state state;
	uint64_t now_us;
};

static int setup(void **state)
{
	static struct fixture f;
	f = (struct fixture){.arena = arena_new(1 << 20), .now_us = 100 * SECOND};
	tree_make(&f.tree);
	f.context = (struct collector_context){.root = &f.tree.root};
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	dram_domains_free(f->self);
	arena_free(f->arena);
	tree_destroy(&f->tree);
	return 0;
}

static void write_value(struct fixture *f, const char *group, const char *file, const char *text)
{
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/mon_data/%s", group, file);
	tree_write(&f->tree, path, text);
}

static int fill(struct fixture *f, Sonde__V1__Memory *out)
{
	if (!f->self)
		f->self = dram_domains_new(&f->context);
	assert_non_null(f->self);
	sonde__v1__memory__init(out);
	arena_reset(f->arena);
	f->state = (struct collector_state){.reason = ""};
	f->now_us += SECOND;
	struct tick tick = {.arena = f->arena, .boottime_us = f->now_us, .state = &f->state};
	return dram_domains_fill(f->self, &tick, out);
}

static void test_value(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t value;
	} cases[] = {
		{"0", 0, 0},
		{"18446744073709551615", 0, UINT64_MAX},
		{"Unavailable", -ENODATA, 42},
		{"Error", -ENODATA, 42},
		{"Unassigned", -ENODATA, 42},
		{"", -EPROTO, 42},
		{"Err", -EPROTO, 42},
		{"-1", -EPROTO, 42},
		{"1 2", -EPROTO, 42},
		{"18446744073709551616", -EPROTO, 42},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t value = 42;
		size_t len = strlen(cases[i].text);
		char *copy = exact_copy(cases[i].text, len);
		if (resctrl_value_parse(copy, len, &value) != cases[i].result || value != cases[i].value)
			fail_msg("not as it should be: %s", cases[i].text);
		free(copy);
	}
}

static void write_two_sockets(struct fixture *f)
{
	write_value(f, ROOT, "mon_L3_00/mbm_total_bytes", "1000\n");
	write_value(f, ROOT, "mon_L3_00/mbm_local_bytes", "700\n");
	write_value(f, ROOT, "mon_L3_00/llc_occupancy", "64\n");
	write_value(f, ROOT, "mon_L3_01/mbm_total_bytes", "2000\n");
	write_value(f, ROOT, "mon_L3_01/mbm_local_bytes", "Unavailable\n");
	write_value(f, ROOT, "mon_L3_01/llc_occupancy", "128\n");
	tree_write(&f->tree, ROOT "/info/L3_MON/mon_features", "llc_occupancy\n");
	tree_write(&f->tree, ROOT "/schemata", "L3:0=fff;1=fff\n");
	/* Part of the root group already. */
	write_value(f, ROOT "/mon_groups/a", "mon_L3_00/mbm_total_bytes", "5\n");
}

static void test_domains(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Memory out;
	write_two_sockets(f);
	assert_int_equal(fill(f, &out), 0);
	assert_int_equal(out.n_dram_domains, 2);
	const Sonde__V1__DramDomain *a = out.dram_domains[0], *b = out.dram_domains[1];
	assert_true(a->has_domain && a->domain == 0 && b->domain == 1);
	assert_int_equal(a->traffic_bytes, 1000);
	assert_int_equal(a->local_traffic_bytes, 700);
	assert_int_equal(a->cache_occupancy_bytes, 64);
	assert_int_equal(a->collected_at_us, f->now_us);
	assert_int_equal(b->traffic_bytes, 2000);
	assert_false(b->has_local_traffic_bytes);
	/* At every tick. */
	write_value(f, ROOT, "mon_L3_00/mbm_total_bytes", "1500\n");
	write_value(f, ROOT, "mon_L3_01/mbm_local_bytes", "Error\n");
	assert_int_equal(fill(f, &out), 0);
	assert_int_equal(out.dram_domains[0]->traffic_bytes, 1500);
	assert_false(out.dram_domains[1]->has_local_traffic_bytes);
}

static void test_groups_are_added_up(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Memory out;
	write_two_sockets(f);
	write_value(f, ROOT "/batch", "mon_L3_00/mbm_total_bytes", "10\n");
	write_value(f, ROOT "/batch", "mon_L3_00/mbm_local_bytes", "Unavailable\n");
	write_value(f, ROOT "/batch", "mon_L3_00/llc_occupancy", "1\n");
	write_value(f, ROOT "/batch", "mon_L3_01/mbm_total_bytes", "20\n");
	write_value(f, ROOT "/batch", "mon_L3_01/llc_occupancy", "18446744073709551615\n");
	assert_int_equal(fill(f, &out), 0);
	assert_int_equal(out.n_dram_domains, 2);
	assert_int_equal(out.dram_domains[0]->traffic_bytes, 1010);
	assert_int_equal(out.dram_domains[1]->traffic_bytes, 2020);
	assert_int_equal(out.dram_domains[0]->cache_occupancy_bytes, 65);
	/* What one of them does not tell, or the sum of which is no number, is not known. */
	assert_false(out.dram_domains[0]->has_local_traffic_bytes);
	assert_false(out.dram_domains[1]->has_cache_occupancy_bytes);
}

static void test_none(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Memory out;
	assert_int_equal(fill(f, &out), 0);
	assert_int_equal(out.n_dram_domains, 0);
	/* Mounted meanwhile: looked for once a minute. */
	write_two_sockets(f);
	assert_int_equal(fill(f, &out), 0);
	assert_int_equal(out.n_dram_domains, 0);
	f->now_us += 60 * SECOND;
	assert_int_equal(fill(f, &out), 0);
	assert_int_equal(out.n_dram_domains, 2);
	assert_int_equal(fill(f, &out), 0);
	assert_int_equal(out.n_dram_domains, 2);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_UNSPECIFIED);
}

static void test_too_many(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Memory out;
	for (int i = 0; i < 257; i++) {
		char file[64];
		(void)snprintf(file, sizeof(file), "mon_L3_%02d/mbm_total_bytes", i);
		write_value(f, ROOT, file, "1\n");
	}
	assert_int_equal(fill(f, &out), 0);
	assert_int_equal(out.n_dram_domains, 0);
	assert_int_equal(f->state.code, SONDE__V1__STATE__CODE__CODE_DEGRADED);
	assert_string_equal(f->state.reason, "too_many_resctrl_groups");
}

static void test_on_the_lane(void **state)
{
	struct fixture *f = *state;
	Sonde__V1__Memory out;
	struct lane *lane;
	write_two_sockets(f);
	assert_int_equal(lane_new(&lane), 0);
	f->context.lane = lane;
	f->context.live = true;
	uint64_t begun_us = f->now_us + SECOND;
	assert_int_equal(fill(f, &out), 0);
	assert_int_equal(out.n_dram_domains, 0);
	for (uint64_t runs = 1; runs <= 3; runs++) {
		for (int i = 0; i < 5000 && lane_stats(lane).runs < runs; i++)
			(void)poll(NULL, 0, 1);
		assert_int_equal(fill(f, &out), 0);
		assert_int_equal(out.n_dram_domains, 2);
		assert_int_equal(out.dram_domains[0]->traffic_bytes, 1000);
		assert_int_equal(out.dram_domains[0]->collected_at_us, begun_us);
		begun_us = f->now_us;
	}
	assert_true(lane_free(lane));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_value), TEST(test_domains),  TEST(test_groups_are_added_up),
		TEST(test_none),  TEST(test_too_many), TEST(test_on_the_lane),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
