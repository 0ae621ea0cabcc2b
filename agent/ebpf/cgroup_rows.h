/* Rows that programs keep by cgroup, in a hash by the cgroup's id: whose each is, and when it may go to another. The
 * scheduler's thread. */
#pragma once

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cgroup;
struct cgroup_tree;

/* A cgroup that is not in the tree may be new: the tree is looked at every few seconds. One that has not been found for
 * longer is gone. */
struct cgroup_absence {
	__u64 id; /* 0: unused */
	uint64_t since_us;
};

struct cgroup_rows {
	int map;
	struct cgroup_tree *tree; /* NULL: nothing is known of any */
	struct cgroup_absence *absent;
	size_t n; /* as many as the map has rows */
};

/* The cgroup of a row, or NULL where it is not known. *ret_gone: it has been gone for some time, and its row is no
 * longer in the map. */
const struct cgroup *cgroup_rows_find(struct cgroup_rows *rows, __u64 id, uint64_t now_us, bool *ret_gone)
	__attribute__((nonnull));
