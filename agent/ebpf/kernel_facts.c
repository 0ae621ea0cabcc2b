/* Enumerators are looked up by name in every enum, because some kernels (6.12) leave the one of the request flags
 * without a name, which CO-RE relocations cannot refer to. */
#include "agent/ebpf/kernel_facts.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The numbers of the #defines, from 4.10 until the enum came in 6.11. */
#define OLD_FLAG_FLUSH_SEQ (1u << 4)
#define OLD_FLAG_IO_STAT (1u << 13)

int kernel_tracepoint_arguments(const struct btf *btf, const char *tracepoint)
{
	char name[96];
	(void)snprintf(name, sizeof(name), "btf_trace_%.80s", tracepoint);
	int id = btf__find_by_name_kind(btf, name, BTF_KIND_TYPEDEF);
	if (id < 0)
		return -ENOENT;
	const struct btf_type *type = btf__type_by_id(btf, btf__type_by_id(btf, (uint32_t)id)->type);
	if (!type || !btf_is_ptr(type))
		return -ENOENT;
	type = btf__type_by_id(btf, type->type);
	if (!type || !btf_is_func_proto(type) || btf_vlen(type) == 0)
		return -ENOENT;
	return btf_vlen(type) - 1;
}

bool kernel_has_member(const struct btf *btf, const char *structure, const char *member)
{
	int id = btf__find_by_name_kind(btf, structure, BTF_KIND_STRUCT);
	if (id < 0)
		return false;
	const struct btf_type *type = btf__type_by_id(btf, (uint32_t)id);
	const struct btf_member *members = btf_members(type);
	for (unsigned i = 0; i < btf_vlen(type); i++) {
		const char *text = btf__name_by_offset(btf, members[i].name_off);
		if (text && strcmp(text, member) == 0)
			return true;
	}
	return false;
}

static uint32_t flag_bit(const struct btf *btf, const struct btf_type *type, const char *name, uint32_t otherwise)
{
	const struct btf_enum *values = btf_enum(type);
	for (unsigned i = 0; i < btf_vlen(type); i++) {
		const char *text = btf__name_by_offset(btf, values[i].name_off);
		if (text && strcmp(text, name) == 0 && values[i].val >= 0 && values[i].val < 32)
			return 1u << values[i].val;
	}
	return otherwise;
}

int kernel_facts_read(const struct btf *btf, struct kernel_facts *ret)
{
	struct kernel_facts facts = {.flag_io_stat = OLD_FLAG_IO_STAT, .flag_flush_seq = OLD_FLAG_FLUSH_SEQ};
	int issue = kernel_tracepoint_arguments(btf, "block_rq_issue");
	int complete = kernel_tracepoint_arguments(btf, "block_rq_complete");
	if (issue < 0 || complete < 0)
		return -ENOENT;
	facts.issue_queue_first = issue > 1;
	facts.has_io_done = kernel_tracepoint_arguments(btf, "block_io_done") >= 0;
	facts.has_cgroups = kernel_has_member(btf, "bio", "bi_blkg") && kernel_has_member(btf, "blkcg_gq", "blkcg") &&
			    kernel_has_member(btf, "cgroup_subsys_state", "serial_nr");
	for (uint32_t id = 1; id < btf__type_cnt(btf); id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);
		if (!btf_is_enum(type))
			continue;
		facts.flag_io_stat = flag_bit(btf, type, "__RQF_IO_STAT", facts.flag_io_stat);
		facts.flag_flush_seq = flag_bit(btf, type, "__RQF_FLUSH_SEQ", facts.flag_flush_seq);
	}
	*ret = facts;
	return 0;
}
