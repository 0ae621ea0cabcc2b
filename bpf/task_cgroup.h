/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The cgroup of a task: that of the v1 memory controller, else cpuacct, else cpu, else v2 - the first whose hierarchy
 * is not the default one, as agent/cgroups/tree chooses. Which one it is is found out once and remembered, because a
 * program at a switch can afford five reads, not fifteen. Include after bpf/probe_program.h and bpf_core_read.h; struct
 * task_struct of the includer needs a member `cgroups`. */
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

enum task_cgroup_hierarchy {
	TASK_CGROUP_UNKNOWN,
	TASK_CGROUP_MEMORY,
	TASK_CGROUP_CPUACCT,
	TASK_CGROUP_CPU,
	TASK_CGROUP_DEFAULT,
};

/* Mapped into the agent: reset to UNKNOWN when the mounts may have changed. */
__u32 task_cgroup_hierarchy;

/* Where a css_set keeps what belongs to a controller; the enumerators are the running kernel's, and constants to the
 * verifier. */
#define TASK_CGROUP_AT(set, controller)                                                                                \
	((struct cgroup_subsys_state **)((void *)(set) + bpf_core_field_offset((set)->subsys) +                        \
					 8 * bpf_core_enum_value(enum cgroup_subsys_id, controller)))

/* Whether the controller has a hierarchy of its own. */
#define TASK_CGROUP_IS_V1(set, v2_root, controller)                                                                    \
	({                                                                                                             \
		struct cgroup_subsys_state *css = NULL;                                                                \
		if (bpf_core_enum_value_exists(enum cgroup_subsys_id, controller))                                     \
			bpf_probe_read_kernel(&css, sizeof(css), TASK_CGROUP_AT(set, controller));                     \
		css &&BPF_CORE_READ(css, cgroup, root) != (v2_root);                                                   \
	})

static __attribute__((noinline)) __u32 task_cgroup_find(__u64 set_address)
{
	struct css_set *set = (void *)set_address;
	struct cgroup_root *v2_root = BPF_CORE_READ(set, dfl_cgrp, root);
	__u32 found = TASK_CGROUP_DEFAULT;
	if (TASK_CGROUP_IS_V1(set, v2_root, memory_cgrp_id))
		found = TASK_CGROUP_MEMORY;
	else if (TASK_CGROUP_IS_V1(set, v2_root, cpuacct_cgrp_id))
		found = TASK_CGROUP_CPUACCT;
	else if (TASK_CGROUP_IS_V1(set, v2_root, cpu_cgrp_id))
		found = TASK_CGROUP_CPU;
	task_cgroup_hierarchy = found;
	return found;
}

#define TASK_CGROUP_READ(cgroup, set, controller)                                                                      \
	do {                                                                                                           \
		struct cgroup_subsys_state *css = NULL;                                                                \
		if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, controller))                                    \
			break;                                                                                         \
		if (direct)                                                                                            \
			css = *TASK_CGROUP_AT(set, controller);                                                        \
		else                                                                                                   \
			bpf_probe_read_kernel(&css, sizeof(css), TASK_CGROUP_AT(set, controller));                     \
		if (css)                                                                                               \
			READ_FIELD(cgroup, css, cgroup);                                                               \
	} while (0)

/* 0 where it cannot be told. */
ALWAYS_INLINE __u64 task_cgroup_id(struct task_struct *task, bool direct)
{
	struct css_set *set = NULL;
	struct cgroup *cgroup = NULL;
	struct kernfs_node *kn = NULL;
	__u64 id = 0;
	READ_FIELD(set, task, cgroups);
	if (!set)
		return 0;
	__u32 hierarchy = task_cgroup_hierarchy;
	if (hierarchy == TASK_CGROUP_UNKNOWN)
		hierarchy = task_cgroup_find((__u64)set);
	if (hierarchy == TASK_CGROUP_MEMORY)
		TASK_CGROUP_READ(cgroup, set, memory_cgrp_id);
	else if (hierarchy == TASK_CGROUP_CPUACCT)
		TASK_CGROUP_READ(cgroup, set, cpuacct_cgrp_id);
	else if (hierarchy == TASK_CGROUP_CPU)
		TASK_CGROUP_READ(cgroup, set, cpu_cgrp_id);
	else
		READ_FIELD(cgroup, set, dfl_cgrp);
	if (cgroup)
		READ_FIELD(kn, cgroup, kn);
	if (kn)
		READ_FIELD(id, kn, id);
	return id;
}
