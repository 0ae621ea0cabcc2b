/* The program's rows by cgroup: makes them, reads them, names them by the cgroup tree, gives back those of cgroups that
 * are gone. */
#pragma once

#include "agent/collector.h"

#include <sonde/v1/scheduler.pb-c.h>

struct cgroup_tree;
struct scheduler_cgroups;

/* Makes the rows and puts them where the program finds them: `holder`, the descriptor of the map `cgroups`. The tree
 * may be NULL: rows without a name. Both are borrowed. 0; -ENOMEM, or the kernel's negative errno. */
int scheduler_cgroups_new(int holder, struct cgroup_tree *tree, struct scheduler_cgroups **ret)
	__attribute__((nonnull(3), warn_unused_result));
/* Takes them away from the program too. Accepts NULL. */
void scheduler_cgroups_free(struct scheduler_cgroups *cgroups);

/* Fills message->cgroups. 0; -ENOMEM, or the map's negative errno (-EPERM before 5.19 without CAP_BPF). */
int scheduler_cgroups_fill(struct scheduler_cgroups *cgroups, struct tick *tick, Sonde__V1__Scheduler *message)
	__attribute__((nonnull, warn_unused_result));

struct probe_histogram;
/* One message a state that was seen; `off` is SCHEDULER_OFF_STATES histograms. 0 or -ENOMEM. */
int scheduler_fill_off_cpu(const struct probe_histogram *off, struct arena *arena, Sonde__V1__OffCpu ***ret,
			   size_t *ret_n) __attribute__((nonnull, warn_unused_result));
