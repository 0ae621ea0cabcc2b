/* Kernels of three ages, as far as their BTF tells. */
#include "agent/ebpf/kernel_facts.h"

#include <bpf/btf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void add_tracepoint(struct btf *btf, const char *name, int arguments)
{
	int proto = btf__add_func_proto(btf, 0);
	assert_true(proto > 0);
	for (int i = 0; i < arguments; i++)
		assert_int_equal(btf__add_func_param(btf, "", 0), 0);
	int pointer = btf__add_ptr(btf, proto);
	assert_true(btf__add_typedef(btf, name, pointer) > 0);
}

static void before_5_11(void **state)
{
	struct btf *btf = btf__new_empty();
	struct kernel_facts facts;
	add_tracepoint(btf, "btf_trace_block_rq_issue", 3);
	add_tracepoint(btf, "btf_trace_block_rq_complete", 4);
	assert_int_equal(kernel_facts_read(btf, &facts), 0);
	assert_true(facts.issue_queue_first);
	assert_false(facts.has_io_done);
	assert_int_equal(facts.flag_io_stat, 1 << 13);
	assert_int_equal(facts.flag_flush_seq, 1 << 4);
	btf__free(btf);
}

static void the_enum_of_the_flags_may_have_no_name(void **state)
{
	struct btf *btf = btf__new_empty();
	struct kernel_facts facts;
	add_tracepoint(btf, "btf_trace_block_rq_issue", 2);
	add_tracepoint(btf, "btf_trace_block_rq_complete", 4);
	add_tracepoint(btf, "btf_trace_block_io_done", 2);
	assert_true(btf__add_enum(btf, "other", 4) > 0);
	assert_int_equal(btf__add_enum_value(btf, "RQF_IO_STAT", 3), 0);
	assert_true(btf__add_enum(btf, NULL, 4) > 0);
	assert_int_equal(btf__add_enum_value(btf, "__RQF_FLUSH_SEQ", 1), 0);
	assert_int_equal(btf__add_enum_value(btf, "__RQF_IO_STAT", 8), 0);
	assert_int_equal(kernel_facts_read(btf, &facts), 0);
	assert_false(facts.issue_queue_first);
	assert_true(facts.has_io_done);
	assert_int_equal(facts.flag_io_stat, 1 << 8);
	assert_int_equal(facts.flag_flush_seq, 1 << 1);
	btf__free(btf);
}

static void add_member(struct btf *btf, const char *structure, const char *member)
{
	int number = btf__add_int(btf, "u64", 8, 0);
	assert_true(number > 0);
	assert_true(btf__add_struct(btf, structure, 8) > 0);
	assert_int_equal(btf__add_field(btf, member, number, 0, 0), 0);
}

/* CONFIG_BLK_CGROUP: all three, or a bio belongs to nobody. */
static void cgroups_are_followed_where_a_bio_tells(void **state)
{
	struct btf *btf = btf__new_empty();
	struct kernel_facts facts;
	add_tracepoint(btf, "btf_trace_block_rq_issue", 2);
	add_tracepoint(btf, "btf_trace_block_rq_complete", 4);
	add_member(btf, "bio", "bi_blkg");
	add_member(btf, "blkcg_gq", "blkcg");
	assert_int_equal(kernel_facts_read(btf, &facts), 0);
	assert_false(facts.has_cgroups);
	add_member(btf, "cgroup_subsys_state", "serial_nr");
	assert_int_equal(kernel_facts_read(btf, &facts), 0);
	assert_true(facts.has_cgroups);
	btf__free(btf);
}

static void a_kernel_without_a_block_layer(void **state)
{
	struct btf *btf = btf__new_empty();
	struct kernel_facts facts = {.flag_io_stat = 77};
	assert_int_equal(kernel_facts_read(btf, &facts), -ENOENT);
	add_tracepoint(btf, "btf_trace_block_rq_complete", 4);
	assert_int_equal(kernel_facts_read(btf, &facts), -ENOENT);
	/* A typedef of something else is not a tracepoint. */
	assert_true(btf__add_typedef(btf, "btf_trace_block_rq_issue", btf__add_int(btf, "int", 4, 0)) > 0);
	assert_int_equal(kernel_facts_read(btf, &facts), -ENOENT);
	assert_int_equal(facts.flag_io_stat, 77);
	btf__free(btf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_5_11),
		cmocka_unit_test(the_enum_of_the_flags_may_have_no_name),
		cmocka_unit_test(cgroups_are_followed_where_a_bio_tells),
		cmocka_unit_test(a_kernel_without_a_block_layer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
