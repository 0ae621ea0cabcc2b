/* The rows `cgroups` of the section block_io: who the probe's cgroup slots are, what they are called, and when they are
 * given back. Counters are the program's; a cgroup that did nothing for BLOCK_IO_CGROUP_IDLE_TICKS loses its slot while
 * slots are scarce, or at once when it is gone, and begins again from 0 if it comes back. Scheduler's thread. */
#pragma once

#include "agent/collector.h"
#include "agent/ebpf/load.h"

#include <sonde/v1/block_io.pb-c.h>

#define BLOCK_IO_CGROUP_IDLE_TICKS 60

struct block_io_cgroups_table;

/* Borrows both. 0 or -ENOMEM. */
int block_io_cgroups_new(const struct collector_context *context, struct block_io_probe *probe,
			 struct block_io_cgroups_table **ret) __attribute__((nonnull, warn_unused_result));
void block_io_cgroups_free(struct block_io_cgroups_table *table); /* accepts NULL */

/* Fills message->cgroups. 0 or -ENOMEM. */
int block_io_cgroups_fill(struct block_io_cgroups_table *table, struct arena *arena, Sonde__V1__BlockIo *message)
	__attribute__((nonnull, warn_unused_result));

/* The program's names from the cgroup upwards -> "/system.slice/ssh.service"; "/" for none. Clean text. 0; -EMSGSIZE
 * for a path that was cut or does not fit; -EPROTO for names that do not end. Pure. */
int block_io_cgroup_path_text(const struct block_io_cgroup_path *path, char *text, size_t size)
	__attribute__((nonnull, warn_unused_result));

/* Whether I/O of cgroups below a v2 cgroup is charged to it: it has some (cgroup.stat), and its cgroup.subtree_control
 * does not give them io (which brings memory along, so that buffered writes find their owner). Text that cannot be read
 * as such says no. Pure. */
bool block_io_charged_from_below(const char *subtree_control, const char *stat) __attribute__((nonnull));
