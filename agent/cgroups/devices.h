/* Names of block devices by their numbers, from /proc/diskstats: read when a number comes that is not known.
 * Scheduler's thread. */
#pragma once

#include "agent/arena.h"
#include "agent/host/root.h"

#include <stdint.h>

struct cgroup_devices;

/* Borrows the root; NULL when out of memory. */
struct cgroup_devices *cgroup_devices_new(const struct root *root);
void cgroup_devices_free(struct cgroup_devices *devices); /* accepts NULL */

/* A turn in which the file may be read once more. */
void cgroup_devices_begin(struct cgroup_devices *devices) __attribute__((nonnull));

/* In the arena; "8:0" where no device has the number, or devices is NULL. NULL when the arena is full. */
const char *cgroup_devices_name(struct cgroup_devices *devices, uint32_t major, uint32_t minor, struct arena *arena)
	__attribute__((nonnull(4)));
