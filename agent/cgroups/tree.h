/* Which cgroups there are: their ids, paths, and what people call them. One tree for all collectors of the scheduler's
 * thread: the cgroups section measures its members, the processes section names them by id. Hierarchies are found in
 * /proc/1/mountinfo (or the agent's own), v2 or the v1 controllers; on hybrid hosts the tree is that of the v1 memory
 * controller (else cpuacct/cpu), where processes really are. Scheduler's thread only.
 *
 * Walking the tree is for ticks where it may have changed: the walk is spread or repeated at most once per
 * CGROUP_TREE_PERIOD_MS, and at once for an id that is not known (once per tick). */
#pragma once

#include "agent/host/root.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CGROUP_TREE_MAX 4096 /* what is beyond is counted */
#define CGROUP_TREE_PERIOD_MS 5000

struct cgroup_tree;

enum cgroup_layout { CGROUP_NONE, CGROUP_V1, CGROUP_HYBRID, CGROUP_V2 };

struct cgroup {
	uint64_t id;	  /* as the kernel numbers it (kernfs): the inode of its directory; a label of generation */
	const char *path; /* "/system.slice/ssh.service"; "/" is the root. Clean UTF-8 */
	const char
		*name; /* "ssh.service", "container 3f2a... (docker)", "pod/ns/...": what people call it; never NULL */
	const char *manager; /* "systemd", "docker", "podman", "containerd", "crio", "kubernetes", or "" */
	uint32_t depth;	     /* 0 is the root */
	uint64_t generation; /* differs when the place in the tree was given to another cgroup */
	size_t slot;	     /* stable while it lives, < CGROUP_TREE_MAX: for arrays of the user's own */
};

/* A tree without members where there are no cgroups. 0 or -ENOMEM. */
int cgroup_tree_new(const struct root *root, struct cgroup_tree **ret) __attribute__((nonnull, warn_unused_result));
void cgroup_tree_free(struct cgroup_tree *tree); /* accepts NULL */

enum cgroup_layout cgroup_tree_layout(const struct cgroup_tree *tree) __attribute__((nonnull));

/* Brings it up to date if it is time. now_us as in struct tick. 0 or negative errno (then what it had stays). */
int cgroup_tree_refresh(struct cgroup_tree *tree, uint64_t now_us) __attribute__((nonnull, warn_unused_result));

size_t cgroup_tree_count(const struct cgroup_tree *tree) __attribute__((nonnull));
const struct cgroup *cgroup_tree_at(const struct cgroup_tree *tree, size_t i) __attribute__((nonnull));
/* What there was no room for at the last walk. */
size_t cgroup_tree_left_out(const struct cgroup_tree *tree) __attribute__((nonnull));
/* By the kernel's id; NULL when it is not known. Valid until the next refresh. */
const struct cgroup *cgroup_tree_find(struct cgroup_tree *tree, uint64_t id) __attribute__((nonnull));
/* By path in the tree's own hierarchy, as /proc/PID/cgroup has it. */
const struct cgroup *cgroup_tree_find_path(struct cgroup_tree *tree, const char *path, size_t len)
	__attribute__((nonnull));
