/* What a traced device has above and below it: which devices stand on it and do their I/O through it, what it stands on
 * itself, and whose path it is. From sysfs: holders/ and slaves/ (Documentation/ABI/stable/sysfs-block), the names of
 * NVMe paths. The section disks has whole stacks, devices without requests included. */
#pragma once

#include "agent/arena.h"
#include "agent/collectors/disk_device.h"
#include "agent/host/root.h"

#include <sonde/v1/block_io.pb-c.h>

#define BLOCK_IO_NEIGHBOURS_MAX 8 /* of each kind; what is beyond is left out */

struct block_io_neighbours {
	char holders[BLOCK_IO_NEIGHBOURS_MAX][ROSTER_NAME_MAX + 1];
	char below[BLOCK_IO_NEIGHBOURS_MAX][ROSTER_NAME_MAX + 1];
	char multipath_head[ROSTER_NAME_MAX + 1]; /* "" for none */
	uint32_t n_holders, n_below;
};

/* Of a device that disk_device_read() has filled. What sysfs does not tell is not there. */
void block_io_neighbours_read(const struct root *root, const struct disk_device *disk, struct block_io_neighbours *ret)
	__attribute__((nonnull));

/* 0 or -ENOMEM. */
int block_io_neighbours_fill(const struct block_io_neighbours *neighbours, struct arena *arena,
			     Sonde__V1__BlockIoDevice *message) __attribute__((nonnull, warn_unused_result));

/* "nvme0c1n1" -> "nvme0n1". False for any other name; ret untouched. Pure. */
bool block_io_multipath_head(const char *name, char ret[ROSTER_NAME_MAX + 1]) __attribute__((nonnull));
