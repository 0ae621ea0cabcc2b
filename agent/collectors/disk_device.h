/* What sysfs says about a block device: is it a whole disk, which one, how large, and does it stand on another. Read
 * when the device appears and again whenever it may have become another one, not at every tick. */
#pragma once

#include "agent/collectors/proc_diskstats.h"
#include "agent/collectors/roster.h"
#include "agent/host/root.h"

#include <stdbool.h>
#include <stdint.h>

struct disk_device {
	struct roster_entry entry;
	bool is_whole;		/* not a partition */
	bool is_stacked;	/* stands on another device: dm, md, a loop over a file on a disk */
	bool is_multipath_head; /* an NVMe namespace whose hidden paths are listed too */
	bool has_diskseq;
	uint64_t diskseq;
	uint64_t size_bytes;
	uint64_t reads, writes; /* at the last tick: going backwards means another device */
};

/* Fills all but reads, writes and is_multipath_head. */
void disk_device_read(const struct root *root, uint32_t major, struct disk_device *device) __attribute__((nonnull));

/* Its sequence number or its size is another one now, or the kernel (before 5.15) gives no number to tell by. */
bool disk_device_has_changed(const struct root *root, const struct disk_device *device) __attribute__((nonnull));

/* Counted in totals: nothing that is counted too lies below it. */
static inline bool disk_device_is_leaf(const struct disk_device *device)
{
	return !device->is_stacked && !device->is_multipath_head;
}

/* Its row adds nothing that anybody wants to see: a loop, zram or memory disk that was never used. */
bool disk_device_is_unused(const struct disk_device *device, const struct diskstats_row *row) __attribute__((nonnull));

/* Marks nvmeXnZ as a head if nvmeXcYnZ is there: which of the two carries statistics depends on the kernel, and both
 * see the same operations. */
void disk_device_find_multipath(const struct roster *devices) __attribute__((nonnull));
