/* Software RAID arrays of the disks section, from /proc/mdstat, which is there only while the md module is loaded. */
#pragma once

#include "agent/collector.h"
#include "agent/collectors/roster.h"

struct md_arrays {
	struct root_file file;
	bool is_open;
};

/* Opens /proc/mdstat if it is there by now. To be called when a device has appeared. */
void md_arrays_open(struct md_arrays *self, const struct root *root) __attribute__((nonnull));
void md_arrays_close(struct md_arrays *self) __attribute__((nonnull));
/* Fills out->arrays, with the diskseq of the `devices` (of struct disk_device) of the same names. 0, -ENOMEM for a full
 * arena; what cannot be read leaves the rows absent and the section DEGRADED. */
int md_arrays_collect(struct md_arrays *self, const struct roster *devices, struct tick *tick, Sonde__V1__Disks *out)
	__attribute__((nonnull, warn_unused_result));
