/* Which cgroups there are: their ids, paths, and what people call them. One tree for all collectors of the scheduler's
 * thread: the cgroups section measures its members, the processes section names them by id. Hierarchies are found in
 * /proc/1/mountinfo (or the agent's own), v2 or the v1 controllers; on hybrid hosts the tree is that of the v1 memory
 * controller (else cpuacct, cpu, pids, blkio), where processes really are. Scheduler's thread only.
 *
 * The directories are walked every CGROUP_TREE_PERIOD_MS, and after CGROUP_TREE_SOON_MS when an id was asked for that
 * is not known. A walk costs a stat a leaf and a listing an inner directory. */
#pragma once

#include "agent/host/root.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CGROUP_TREE_MAX 4096 /* what is beyond is counted */
#define CGROUP_TREE_PERIOD_MS 5000
#define CGROUP_TREE_SOON_MS 1000

struct cgroup_tree;
struct cgroup_hierarchies;

enum cgroup_layout { CGROUP_NONE, CGROUP_V1, CGROUP_HYBRID, CGROUP_V2 };

struct cgroup {
	/* As the kernel numbers it (kernfs): the inode of its directory. In a recorded tree, whose inodes are of
	 * another kind, a hash of the path. */
	uint64_t id;
	const char *path;	  /* "/system.slice/ssh.service"; "/" is the root. Clean UTF-8 */
	const char *directory;	  /* the same below any hierarchy's directory, as it is on disk; "" is the root */
	const char *name;	  /* "ssh.service", "container 3f2a...", "pod ...": what people call it; never NULL */
	const char *manager;	  /* "systemd", "docker", "podman", "containerd", "crio", "kubernetes", ... or "" */
	const char *container_id; /* "" where it is none */
	const char *pod_uid;	  /* "" where it belongs to none */
	uint32_t depth;		  /* 0 is the root */
	size_t slot;		  /* stable while it lives, < CGROUP_TREE_MAX: for arrays of the user's own */
	uint64_t generation;	  /* differs when the slot was given to another cgroup; never 0 */
};

/* A tree without members where there are no cgroups. Borrows the root. 0 or -ENOMEM. */
int cgroup_tree_new(const struct root *root, struct cgroup_tree **ret) __attribute__((nonnull, warn_unused_result));
void cgroup_tree_free(struct cgroup_tree *tree); /* accepts NULL */

enum cgroup_layout cgroup_tree_layout(const struct cgroup_tree *tree) __attribute__((nonnull));
const struct cgroup_hierarchies *cgroup_tree_hierarchies(const struct cgroup_tree *tree) __attribute__((nonnull));

/* Brings it up to date if it is time. now_us as in struct tick. 0, or negative errno until a walk succeeds (what it
 * had stays). */
int cgroup_tree_refresh(struct cgroup_tree *tree, uint64_t now_us) __attribute__((nonnull, warn_unused_result));

/* In the order of their paths. Valid until the next refresh. */
size_t cgroup_tree_count(const struct cgroup_tree *tree) __attribute__((nonnull));
const struct cgroup *cgroup_tree_at(const struct cgroup_tree *tree, size_t i) __attribute__((nonnull));
/* Another number whenever a cgroup came or went; 0 before the first. */
uint64_t cgroup_tree_generation(const struct cgroup_tree *tree) __attribute__((nonnull));
/* What there was no room for at the last walk. */
size_t cgroup_tree_left_out(const struct cgroup_tree *tree) __attribute__((nonnull));
/* By the kernel's id; NULL when it is not known. Valid until the next refresh. */
const struct cgroup *cgroup_tree_find(struct cgroup_tree *tree, uint64_t id) __attribute__((nonnull));
/* By path in the tree's own hierarchy, as /proc/PID/cgroup has it. */
const struct cgroup *cgroup_tree_find_path(struct cgroup_tree *tree, const char *path, size_t len)
	__attribute__((nonnull));
