/* How large the tables of the block probe are made. Pure, but for block_io_survey(), which reads sysfs. */
#pragma once

#include "agent/host/root.h"

#include <stdbool.h>
#include <stdint.h>

/* What the host has. */
struct block_io_survey {
	uint32_t devices;     /* with request queues: bio-based ones raise no events */
	uint32_t most_stamps; /* the largest product of hardware queues and tags among them */
	uint32_t cpus;
	uint64_t memory_bytes;
};

struct block_io_plan {
	uint32_t slots;		  /* disks that have room at one time, at most BLOCK_IO_MAX_SLOTS */
	uint32_t shards;	  /* copies of each counter, a power of two, at most BLOCK_IO_MAX_SHARDS */
	uint32_t stamps_per_slot; /* a power of two */
	uint32_t cgroups;	  /* that have room at one time, at most BLOCK_IO_CGROUP_SLOTS; 0 follows none */
	/* What the kernel would allow and is not to be used: how the other ways are tested on a kernel that has all. */
	bool avoid_tp_btf;
	bool avoid_io_done;
};

/* 0 or negative errno; a host without /sys/block is -ENOENT. */
int block_io_survey(const struct root *root, struct block_io_survey *ret) __attribute__((nonnull, warn_unused_result));

/* One slot each for the disks that are there and some for those that come; shards for every CPU up to 8, fewer when
 * there are so many disks that counters would take more than 8 MiB; fewer slots only beyond 16 MiB or 1/2048 of the
 * memory, whichever is more. Stamps so that no two requests share one, within 2 MiB or 1/4096 of the memory and never
 * more than 4 MiB. */
struct block_io_plan block_io_plan(const struct block_io_survey *survey) __attribute__((nonnull));

/* What the kernel's maps take with it, tables of pages and the like left out. */
uint64_t block_io_plan_bytes(const struct block_io_plan *plan) __attribute__((nonnull));
