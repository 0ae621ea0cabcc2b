/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The cgroup of a task: that of the v1 memory controller, else cpuacct, else cpu, else v2 - the first whose hierarchy
 * is not the default one, as agent/cgroups/tree chooses. Reads by bpf_probe_read_kernel, so that it serves programs of
 * every kind. Include after bpf_core_read.h; struct task_struct of the includer needs a member `cgroups`. */
#pragma once

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct kernfs_node {
	__u64 id;
};
struct cgroup_root;
struct cgroup {
	struct kernfs_node *kn;
	struct cgroup_root *root;
};
struct cgroup_subsys_state {
	struct cgroup *cgroup;
};
struct css_set {
	struct cgroup_subsys_state *subsys[16];
	struct cgroup *dfl_cgrp;
};
#pragma clang attribute pop

enum cgroup_subsys_id {
	memory_cgrp_id = 1,
	cpuacct_cgrp_id = 2,
	cpu_cgrp_id = 3,
};

/* NULL where the kernel has no such controller. The enumerators are the running kernel's. */
#define TASK_CGROUP_OF(set, controller)                                                                                \
	({                                                                                                             \
		struct cgroup *found = NULL;                                                                           \
		if (bpf_core_enum_value_exists(enum cgroup_subsys_id, controller)) {                                   \
			struct cgroup_subsys_state *state = NULL;                                                      \
			bpf_probe_read_kernel(&state, sizeof(state),                                                   \
					      (void *)(set) + bpf_core_field_offset((set)->subsys) +                   \
						      8 * bpf_core_enum_value(enum cgroup_subsys_id, controller));     \
			if (state)                                                                                     \
				found = BPF_CORE_READ(state, cgroup);                                                  \
		}                                                                                                      \
		found;                                                                                                 \
	})

static __attribute__((noinline)) __u64 task_cgroup_id(__u64 task_address)
{
	struct task_struct *task = (void *)task_address;
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	if (!set)
		return 0;
	struct cgroup *v2 = BPF_CORE_READ(set, dfl_cgrp);
	struct cgroup_root *v2_root = BPF_CORE_READ(v2, root);
	struct cgroup *cgroup = TASK_CGROUP_OF(set, memory_cgrp_id);
	if (!cgroup || BPF_CORE_READ(cgroup, root) == v2_root)
		cgroup = TASK_CGROUP_OF(set, cpuacct_cgrp_id);
	if (!cgroup || BPF_CORE_READ(cgroup, root) == v2_root)
		cgroup = TASK_CGROUP_OF(set, cpu_cgrp_id);
	if (!cgroup || BPF_CORE_READ(cgroup, root) == v2_root)
		cgroup = v2;
	return BPF_CORE_READ(cgroup, kn, id);
}
