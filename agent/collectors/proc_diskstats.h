/* /proc/diskstats (Documentation/admin-guide/iostats.rst): one line a block device or partition, 11 numbers on old
 * kernels, 15 with discards (4.18), 17 with flushes (5.5). Sectors are of 512 bytes whatever the device's, times are
 * milliseconds in 32 bits. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	DISKSTATS_READS,
	DISKSTATS_READS_MERGED,
	DISKSTATS_READ_SECTORS,
	DISKSTATS_READ_MS,
	DISKSTATS_WRITES,
	DISKSTATS_WRITES_MERGED,
	DISKSTATS_WRITE_SECTORS,
	DISKSTATS_WRITE_MS,
	DISKSTATS_IN_FLIGHT,
	DISKSTATS_IO_MS,
	DISKSTATS_WEIGHTED_IO_MS,
	DISKSTATS_DISCARDS,
	DISKSTATS_DISCARDS_MERGED,
	DISKSTATS_DISCARD_SECTORS,
	DISKSTATS_DISCARD_MS,
	DISKSTATS_FLUSHES,
	DISKSTATS_FLUSH_MS,
	DISKSTATS_VALUES
};

#define DISKSTATS_NAME_MAX 63

struct diskstats_row {
	const char *name; /* borrowed from the text, not terminated, at most DISKSTATS_NAME_MAX */
	size_t name_len;
	uint32_t major;
	uint32_t minor;
	unsigned n_values; /* 11, 15 or DISKSTATS_VALUES */
	uint64_t values[DISKSTATS_VALUES];
};

struct proc_diskstats_reader {
	const char *p;
	const char *end;
};

static inline struct proc_diskstats_reader proc_diskstats_reader(const char *text, size_t len)
{
	return (struct proc_diskstats_reader){.p = text, .end = text + len};
}

/* 1 and a row, 0 at the end, -EPROTO. A name may come twice: the kernel finds its place in the list by counting, and a
 * device that appears meanwhile moves the others. */
int proc_diskstats_next(struct proc_diskstats_reader *reader, struct diskstats_row *ret)
	__attribute__((nonnull, warn_unused_result));
