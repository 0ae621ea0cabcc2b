/* Which devices lie below which: a mapped device's or an array's leaves, the disk below a loop's file, the hidden paths
 * of an NVMe namespace. Built anew when a device came, went or changed. */
#pragma once

#include "agent/collectors/disk_device.h"

#define DISK_STACK_MAX_LEAVES 256 /* of one device */

struct disk_stack {
	uint16_t *leaves; /* places in the roster: leaves[device->leaves_at] and on */
	size_t n;
	size_t capacity;
};

/* Marks multipath heads, and fills leaves_at, n_leaves, leaves_left_out and head of every device. Leaves that find no
 * memory count as left out. `devices` has at most 65536 places of struct disk_device. */
void disk_stack_build(struct disk_stack *stack, const struct root *root, const struct roster *devices)
	__attribute__((nonnull));
void disk_stack_free(struct disk_stack *stack); /* accepts NULL and a zeroed one */
