/* /proc/PID/cgroup (cgroups(7)): where a process is in each hierarchy, one line a hierarchy, "0::" for v2. */
#pragma once

#include "agent/scan.h"

enum {
	PID_CGROUP_UNIFIED, /* v2 */
	PID_CGROUP_MEMORY,  /* v1 controllers */
	PID_CGROUP_CPUACCT,
	PID_CGROUP_CPU,
	PID_CGROUP_HIERARCHIES
};

struct proc_pid_cgroup {
	struct word paths[PID_CGROUP_HIERARCHIES]; /* borrowed from the text; .text NULL where there is none */
};

/* 0; -EPROTO for a line that is none, or a hierarchy that comes twice. No lines at all are a process in no cgroup. */
int proc_pid_cgroup_parse(const char *text, size_t len, struct proc_pid_cgroup *ret)
	__attribute__((nonnull, warn_unused_result));
