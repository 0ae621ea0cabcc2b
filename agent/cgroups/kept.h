/* What was last read of a cgroup's usage, to be said again in ticks in which its files are not read: when nothing ran
 * in it, or when a file has nothing to say of it. Scheduler's thread. */
#pragma once

#include "agent/arena.h"

#include <sonde/v1/cgroup.pb-c.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A zeroed one holds nothing. */
struct cgroup_kept {
	uint64_t memory_bytes, tasks, cpu_periods, cpu_throttled_periods, cpu_throttled_us;
	bool has_memory_bytes, has_tasks, has_cpu_periods, has_cpu_throttled_periods, has_cpu_throttled_us;
	struct cgroup_kept_limits {
		uint64_t memory_limit_bytes, memory_high_bytes, tasks_limit;
		double cpu_limit_ratio;
		bool has_memory_limit_bytes, has_memory_high_bytes, has_tasks_limit, has_cpu_limit_ratio;
	} limits;
	uint8_t n_io, io_room;
	uint32_t io_left_out;
	struct cgroup_kept_io *io;
};

/* Holds limits alone then; the memory stays. */
void cgroup_kept_reset(struct cgroup_kept *kept) __attribute__((nonnull));
void cgroup_kept_free(struct cgroup_kept *kept) __attribute__((nonnull));

/* Takes over what the row has of these fields, and adds to the row what it has not. io_left_out: devices of this row
 * for which there was no room; what was left out when its I/O is repeated is added. 0 or -ENOMEM. */
int cgroup_kept_exchange(struct cgroup_kept *kept, struct arena *arena, Sonde__V1__Cgroup *row, uint64_t *io_left_out)
	__attribute__((nonnull, warn_unused_result));

/* Limits are read less often still: those of a row that has them all, and into one that was read without. */
void cgroup_kept_take_limits(struct cgroup_kept *kept, const Sonde__V1__Cgroup *row) __attribute__((nonnull));
void cgroup_kept_say_limits(const struct cgroup_kept *kept, Sonde__V1__Cgroup *row) __attribute__((nonnull));
