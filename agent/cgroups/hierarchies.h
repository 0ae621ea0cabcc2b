/* Where this host's control groups are mounted, and which controller is in which hierarchy: from mountinfo text
 * (Documentation/admin-guide/cgroup-v1/cgroups.rst, cgroup-v2.rst). Pure. */
#pragma once

#include "agent/cgroups/tree.h"

#include <stdbool.h>
#include <stddef.h>

enum cgroup_controller {
	CGROUP_MEMORY, /* in the order in which a v1 hierarchy is taken for the tree: processes are where memory counts
			*/
	CGROUP_CPUACCT,
	CGROUP_CPU,
	CGROUP_PIDS,
	CGROUP_BLKIO, /* "io" in v2 */
	CGROUP_CORE,  /* no controller: what the v2 hierarchy has of every cgroup, whoever has the controllers */
	CGROUP_CONTROLLERS
};

#define CGROUP_HIERARCHIES_MAX 8
#define CGROUP_DIR_SIZE 256

struct cgroup_hierarchies {
	enum cgroup_layout layout;
	struct cgroup_hierarchy {
		char dir[CGROUP_DIR_SIZE]; /* relative to the root: "sys/fs/cgroup/memory" */
		bool unified;		   /* v2 */
	} list[CGROUP_HIERARCHIES_MAX];
	size_t n;
	size_t tree;		    /* the one whose directories are the tree; n > 0 */
	int of[CGROUP_CONTROLLERS]; /* the hierarchy a controller is in, or -1 */
};

/* 0; n is 0 and the layout CGROUP_NONE where nothing is mounted. -EPROTO for text that is not mountinfo. */
int cgroup_hierarchies_parse(const char *mountinfo, size_t len, struct cgroup_hierarchies *ret)
	__attribute__((nonnull, warn_unused_result));
