/* Process 1 from /proc/1, for kernels whose task iterator leaves it out with all its threads (bpf/README.md). One
 * record, as the iterator would have written it; what /proc has only by thread, or only at a price, is absent:
 * switches, run queue delay, open files. Times are in steps of 10 ms. Not for readers of another pid namespace: process
 * 1 is another one there. One thread at a time. */
#pragma once

#include "agent/cgroups/tree.h"
#include "agent/host/root.h"

#include <linux/types.h>

#include "bpf/tasks.h"

struct tasks_first;

/* Keeps the files open. 0 or negative errno. */
int tasks_first_open(const struct root *root, struct tasks_first **ret) __attribute__((nonnull, warn_unused_result));
void tasks_first_close(struct tasks_first *first); /* accepts NULL */

/* cgroups names its cgroup's id; NULL: none. 0 or negative errno. */
int tasks_first_read(struct tasks_first *first, struct cgroup_tree *cgroups, struct tasks_process *ret)
	__attribute__((nonnull(1, 3), warn_unused_result));
