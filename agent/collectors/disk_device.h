/* What sysfs says about a block device: is it a whole disk, of what kind, which one, how large, and does it stand on
 * another. Read when the device appears and again whenever it may have become another one, not at every tick. */
#pragma once

#include "agent/collectors/proc_diskstats.h"
#include "agent/collectors/roster.h"
#include "agent/host/root.h"

#include <stdbool.h>
#include <stdint.h>

#define DISK_ALIAS_MAX 127 /* device-mapper's own limit */

struct disk_device {
	struct roster_entry entry;
	uint32_t major, minor;
	bool is_whole;	   /* not a partition */
	bool is_stacked;   /* stands on another device: dm, md, a loop over a file on a disk */
	bool has_requests; /* its driver takes requests, which the queue counts, not bios, which it may count itself */
	bool is_multipath_head; /* an NVMe namespace whose hidden paths are listed too */
	bool has_diskseq;
	bool has_rotational, rotational;
	bool has_read_only, read_only;
	bool has_iostats, iostats;
	uint64_t diskseq;
	uint64_t size_bytes;
	const char *kind; /* static */
	char alias[DISK_ALIAS_MAX + 1];
	uint32_t slaves; /* a hash of the names it stands on */
	/* Of a stacked loop: what its file lies on, as mountinfo says it. */
	uint32_t backing_major, backing_minor;
	char backing_source[ROSTER_NAME_MAX + 1]; /* without "/dev/"; "" when it is no device */

	/* disk_stack_build()'s: leaves in its list, and the head of a hidden path (a place in the roster + 1). */
	size_t leaves_at;
	uint32_t n_leaves, leaves_left_out;
	size_t head;

	/* The collector's: when more than its number was looked at, and whether it did anything since the number was. */
	uint64_t looked_us;
	bool has_moved;
	/* The collector's: counters at the last reading, which going backwards means another device. */
	bool has_last;
	uint64_t last_us;
	uint64_t last[DISKSTATS_VALUES];
};

/* Fills all that sysfs knows; the minor number only finds an array its name. A device that turns out to be another one
 * has no last reading any more. */
void disk_device_read(const struct root *root, uint32_t major, uint32_t minor, struct disk_device *device)
	__attribute__((nonnull));

/* Its sequence number is another one now, or the kernel (before 5.15) gives no number to tell by. */
bool disk_device_is_other(const struct root *root, const struct disk_device *device) __attribute__((nonnull));
/* That, or its size, a switch or what it stands on is another one. */
bool disk_device_has_changed(const struct root *root, const struct disk_device *device) __attribute__((nonnull));

/* Counted in totals: nothing that is counted too lies below it. */
static inline bool disk_device_is_leaf(const struct disk_device *device)
{
	return !device->is_stacked && !device->is_multipath_head;
}

/* Its row adds nothing that anybody wants to see: a loop, zram or memory disk that was never used. */
bool disk_device_is_unused(const struct disk_device *device, const struct diskstats_row *row) __attribute__((nonnull));

#define DISK_PATH_SIZE 192

/* "sys/block/NAME/attribute": "cciss/c0d0" is "cciss!c0d0" in sysfs. */
void disk_device_path(const struct disk_device *device, const char *attribute, char path[DISK_PATH_SIZE])
	__attribute__((nonnull));
